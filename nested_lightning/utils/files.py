"""Write files of a run: completely or not at all, with one message if the file system refuses."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nested_lightning.errors import WriteError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_A_RUN = 'choose another default_root_dir. Files written before are intact: resume with ckpt_path="last"'


@contextmanager
def writing(path: str | os.PathLike[str], remedy: str = _OF_A_RUN) -> Iterator[None]:
    """Turn an error of the file system within the block into a WriteError that names ``path``.

    Raises:
        WriteError: the file system refuses; the message ends with ``remedy``, and advises to free space if that is it.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # torch.save hides the error of the file system: its own RuntimeError speaks of an archive.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        reason = cause.strerror or str(cause)
        if cause.errno in _FULL:
            reason, remedy = f"{reason}; {disk_of(path)}", f"free some space or {remedy}"
        raise WriteError(f"{os.fspath(path)} cannot be written ({reason}): {remedy}") from error


@contextmanager
def replacing(path: str | os.PathLike[str], remedy: str = _OF_A_RUN) -> Iterator[str]:
    """Give the name of a temporary file, which replaces ``path`` after the block: a kill leaves the old file intact.

    Raises:
        WriteError: the file system refuses, as in :func:`writing`; the temporary file is removed.
    """
    temporary = f"{os.fspath(path)}.tmp"
    with writing(path, remedy):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def disk_of(path: str | os.PathLike[str]) -> str:
    """Return the disk of ``path``, which need not exist, and its free space: ``"0.0 MB free on the disk at /data"``."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = "unknown space"
    with suppress(OSError):
        free = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB"
    while not folder.is_mount():
        folder = folder.parent
    return f"{free} free on the disk at {folder}"
