"""Checkpoint files: written whole or not at all, checked before they are read, and read without running code."""

import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from nested_lightning.errors import CheckpointError
from nested_lightning.utils.files import disk_of


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target and rename it, so that a kill leaves the previous one whole.

    Raises:
        CheckpointError: a checkpoint cannot be written, is missing, or cannot be read.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        beside = target.with_name(f"{target.name}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(beside, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                beside.unlink()
            # Torch hides what the file system said behind a message about its archive.
            reason = error.__context__ or error
            raise CheckpointError(
                f"{target} could not be written ({reason}; {disk_of(target)}): free some space or choose another "
                "--trainer.default_root_dir. A checkpoint written before is whole: go on from it with --ckpt_path last"
            ) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if not os.path.isfile(path):
            raise CheckpointError(
                f"there is no checkpoint {os.fspath(path)!r}: give the path of a .ckpt file, such as "
                "RUN/checkpoints/final.ckpt"
            )
        _refuse_damaged(path)
        try:
            # Whatever is asked for: a checkpoint is data, and what it holds is not to be run.
            checkpoint: Any = super().load_checkpoint(path, map_location, weights_only=True)
        except UnpicklingError as error:
            raise CheckpointError(
                f"{path} holds more than weights and plain values, which would be code to run: it was not loaded, and "
                "nothing in it was run. Checkpoints of this package never do"
            ) from error
        except Exception as error:  # what torch raises depends on where the file stops being a checkpoint
            raise _unreadable(path, type(error).__name__) from error
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise CheckpointError(f"{path} is no checkpoint of a training run: it has no 'state_dict'")
        return checkpoint


def _refuse_damaged(path: Any) -> None:
    """Compare a file with the sums of control in it, which torch does not; refuse what unpacks to more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            is_packed = sum(member.file_size for member in archive.infolist()) > os.path.getsize(path)
            damaged = "a packed archive" if is_packed else archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _unreadable(path, str(error)) from error
    if damaged is not None:
        raise _unreadable(path, damaged)


def _unreadable(path: Any, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a checkpoint ({reason}): it is damaged, or something else")
