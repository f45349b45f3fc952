"""What a failure is to the user: a mistake, too little memory, a changed file, or the loss of another process."""

from pathlib import Path
from traceback import walk_tb

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from nested_lightning.errors import mistake_behind

# What gloo, NCCL and torch's store say of a peer that has ended; none of them has an exception of its own for it.
_SIGNS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Timed out waiting",
    "NCCL communicator was aborted",
    "ncclRemoteError",
    "failed to recv",
)


def told(error: Exception) -> tuple[str, int] | None:
    """Return the message for the user and the exit code: 2 after a mistake, 1 else; None for what should not happen."""
    mistake = mistake_behind(error, MisconfigurationException)
    if mistake is not None:
        return str(mistake), 2
    # Torch has an exception of its own for that on a GPU only.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return (
            f"there is not enough memory ({error}): lower data.batch_size, data.eval_batch_size, data.image_size or "
            "the number of channels"
        ), 2
    if isinstance(error, RuntimeError) and _is_distributed(error) and any(sign in str(error) for sign in _SIGNS):
        reason = str(error).splitlines()[0].partition(". ")[0]
        return (
            f"another process of this run is gone ({reason}): what it said before, or the log of its machine, tells "
            "why. Nothing that was saved is lost: start all processes again with --ckpt_path last"
        ), 1
    if _is_restoring(error):
        return (
            f"the parts of the checkpoint --ckpt_path do not fit this run ({type(error).__name__}: {error}): the run "
            "has other options than the one that wrote it, or the file was changed since, or is of another program"
        ), 2
    return None


def _is_distributed(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or torch.distributed.is_initialized()


def _is_restoring(error: Exception) -> bool:
    """Return whether it was raised while Lightning hands out the parts of a checkpoint."""
    codes = (frame.f_code for frame, _ in walk_tb(error.__traceback__))
    return any(Path(c.co_filename).stem == "checkpoint_connector" and "resto" in c.co_name for c in codes)
