"""Write files of a run: completely or not at all, by one process, with one message if the file system refuses."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nested_lightning.errors import ConfigurationError, WriteError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

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


class FolderLock:
    """Reserve a folder for this process, by the file ``run.lock`` in it, until :meth:`release` or the process's end.

    The lock is the system's own, so that the file of a process that was killed reserves nothing. Where the system or
    the file system has no locks, nothing is reserved.

    Args:
        folder: made if it does not exist.

    Raises:
        ConfigurationError: another process has reserved the folder; names its host and number.
        WriteError: the file system refuses.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = os.path.join(os.path.abspath(folder), "run.lock")
        self._makes_folder = not os.path.exists(folder)
        self._file: int | None = None
        # Repeated if the file was removed, with the lock on it released, before this process could lock it.
        while fcntl is not None and not self._locked():
            pass

    def _locked(self) -> bool:
        with writing(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not shared with forked processes
        except OSError as error:
            owner = os.read(file, 300).decode(errors="replace").strip() or "unknown"
            os.close(file)
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
                os.unlink(self.path)
                return True
            raise ConfigurationError(
                f"{os.path.dirname(self.path)} is in use by another run ({owner}), and two runs would mix their files: "
                "wait until it has ended, end it, or choose another default_root_dir"
            ) from None
        if not os.path.exists(self.path) or not os.path.samestat(os.stat(self.path), os.fstat(file)):
            os.close(file)
            return False
        self._file = file
        with writing(self.path):
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        return True

    def release(self) -> None:
        """Remove the file, and the folder if it was made for it and is empty."""
        if self._file is None:
            return
        with suppress(OSError):
            os.unlink(self.path)
            if self._makes_folder:
                os.rmdir(os.path.dirname(self.path))
        os.close(self._file)
        self._file = None
