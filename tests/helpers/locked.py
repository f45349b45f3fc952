"""A folder that another process has reserved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nested_lightning.utils.files import FolderLock


@contextmanager
def locked_by_another_process(folder: Path) -> Iterator[int]:
    """Yield the number of a process that has reserved the folder; it ends with the block."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            lock = FolderLock(folder)
            os.write(writing, b"locked")
            signal.pause()
            lock.release()
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 10) == b"locked"
    os.close(reading)
    try:
        yield process
    finally:
        with suppress(OSError):  # ended by the test
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
