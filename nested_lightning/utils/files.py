"""Files of a run that cannot be written, as on a full disk: one error that names the file, its disk and what to do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nested_lightning.errors import WriteError


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it an OSError becomes a WriteError that names ``path``.

    Raises:
        WriteError: the file system refuses.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{os.fspath(path)} cannot be written ({error.strerror or error}; {disk_of(path)}): free some space or "
            "choose another --trainer.default_root_dir. What was written before is whole: go on with --ckpt_path last"
        ) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give a name beside ``path`` to write to, which takes its place when all is written: no half file is ever there.

    Raises:
        WriteError: the file system refuses; what was written of the new file is removed.
    """
    beside = f"{os.fspath(path)}.tmp"
    with writing(path):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        try:
            yield beside
            os.replace(beside, path)
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            raise


def disk_of(path: str | os.PathLike[str]) -> str:
    """Return which disk ``path`` lies on, or would, and what is free there: ``"0.0 MB free on the disk at /data"``."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = "nothing known to be"
    with suppress(OSError):
        free = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB"
    while not folder.is_mount():
        folder = folder.parent
    return f"{free} free on the disk at {folder}"
