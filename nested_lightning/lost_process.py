"""What to tell when another process of a run with several of them is gone."""

import torch

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


def lost_process(error: BaseException) -> str | None:
    """Return a message if ``error`` means that a process was lost with which this one trains, else None."""
    distributed = isinstance(error, torch.distributed.DistError) or torch.distributed.is_initialized()
    if not (isinstance(error, RuntimeError) and distributed and any(sign in str(error) for sign in _SIGNS)):
        return None
    reason = str(error).splitlines()[0].partition(". ")[0]
    return (
        f"another process of this run is gone ({reason}): what it said before, or the log of "
        "its machine, tells why. Nothing that was saved is lost: start all processes again with --ckpt_path last"
    )
