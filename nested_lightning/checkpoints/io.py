"""Read and write checkpoint files: completely or not at all, checked for damage, and without running code."""

import os
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from nested_lightning.errors import CheckpointError
from nested_lightning.utils.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file and rename it: a kill leaves the previous checkpoint intact.

    Raises:
        WriteError: a checkpoint cannot be written.
        CheckpointError: a checkpoint is missing, cannot be read, or would hold objects, so that it could not be read.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with replacing(path) as temporary:
            with open(temporary, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            _refuse_code(temporary, path)

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
            # Never False, whatever the caller asks for: a checkpoint is data and must not run code.
            checkpoint: Any = super().load_checkpoint(path, map_location, weights_only=True)
        except UnpicklingError as error:
            raise CheckpointError(
                f"{path} holds more than weights and plain values, and loading it would run code: it was not loaded, "
                "and nothing in it was run. Checkpoints of this package hold no code"
            ) from error
        except Exception as error:  # torch's exception depends on where the file is damaged
            raise _unreadable(path, type(error).__name__) from error
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise CheckpointError(f"{path} is not a checkpoint of a training run: it has no 'state_dict'")
        return checkpoint


def refuse_other_weights(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], fitted: Collection[str] = ()) -> None:
    """Refuse the weights of another model than the one whose ``state_dict`` is ``own``.

    Buffers named in ``fitted`` may have any length, as what was learned from the data decides it.

    Raises:
        CheckpointError: weights are missing, unknown, or of another shape; names the first.
    """
    shapes = [{name: list(tensor.shape)[name in fitted :] for name, tensor in state.items()} for state in (saved, own)]
    different = [name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name)]
    if different:
        there, here = (state.get(different[0], "missing") for state in shapes)
        more = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
        raise CheckpointError(
            f"the checkpoint belongs to another model: {different[0]!r} is {there} in the checkpoint and {here} in the "
            f"model{more}. Build the model with the options that it was trained with; the command line takes them "
            "from the checkpoint unless others are given"
        )


def _refuse_code(written: str, path: Any) -> None:
    """Refuse a file that could not be loaded, as it refers to classes that loading with ``weights_only`` refuses."""
    if classes := get_unsafe_globals_in_checkpoint(written):
        raise CheckpointError(
            f"{os.fspath(path)} was not written, because it could never be loaded: it would hold objects of "
            f"{', '.join(sorted(classes))}. A checkpoint holds tensors and plain values: return only these from "
            "state_dict and on_save_checkpoint, and give arguments as Python values"
        )


def _refuse_damaged(path: Any) -> None:
    """Verify the checksums, which torch does not do, and refuse a compressed file, which may unpack to any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            is_compressed = sum(member.file_size for member in archive.infolist()) > os.path.getsize(path)
            damaged = "a compressed archive" if is_compressed else archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _unreadable(path, str(error)) from error
    if damaged is not None:
        raise _unreadable(path, damaged)


def _unreadable(path: Any, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a checkpoint ({reason}): it is damaged, or not a checkpoint")
