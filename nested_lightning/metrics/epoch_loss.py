"""The mean loss of an epoch, which survives an interruption and finds the first batch that is not finite."""

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import NonFiniteError


class EpochLoss(Metric):
    """The mean of the batches' losses, weighted by their samples, over all processes.

    An update never waits for the device; :meth:`refuse_non_finite` looks up whether losses and inputs are finite.

    Not Lightning's own mean, which forgets the batches before an interruption and rounds the number of samples where
    processes have different ones; nor torchmetrics' ``MeanMetric``, which copies each weight to the device, waiting for
    it, and rounds double precision to single.

    Example:
        >>> before, after = EpochLoss(), EpochLoss()
        >>> before.update(torch.tensor(1.0), torch.zeros(30, 2), 0)
        >>> after.resume(before.gather(), rank=0, world_size=1)
        >>> after.update(torch.tensor(5.0), torch.zeros(10, 2), 1)
        >>> after.compute()
        tensor(2.)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "samples"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")
        self._unchecked: list[tuple[int, Tensor, Tensor]] = []

    def update(self, loss: Tensor, x: Tensor, batch_idx: int) -> None:
        """Add the mean loss (a scalar) of the batch with the inputs ``x[B, ...]``."""
        loss = loss.detach()
        self.total = self.total + loss * len(x)
        self.samples = self.samples + len(x)
        self._unchecked.append((batch_idx, loss, finite_samples(x)))

    def compute(self) -> Tensor:
        """Return the mean, a scalar; nan without samples."""
        return self.total / self.samples

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self._unchecked.clear()

    def refuse_non_finite(self, place: str) -> Tensor:
        """Check all batches since the last call and return :meth:`gather`; every process has to call it.

        Args:
            place: where in the training this is, for the message, such as ``"epoch 3, training"``.

        Raises:
            NonFiniteError: on every process, when a loss of any process is not finite; names the first such batch.
        """
        states = self.gather()
        batches = self._unchecked.copy()
        self._unchecked.clear()
        if bool(torch.isfinite(states).all()):
            return states
        for batch_idx, loss, finite in batches:
            if not bool(torch.isfinite(loss)):
                raise non_finite(f"{place} batch {batch_idx}", finite, loss.dtype)
        raise NonFiniteError(f"the loss is not finite in {place}, in another process: see its message")

    def gather(self) -> Tensor:
        """Return weighted sum and number of samples of every process, ``FloatTensor[world_size, 2]`` on the CPU.

        Every process has to call it.
        """
        own = torch.stack([self.total, self.samples])
        states = [own]
        if torch.distributed.is_initialized():
            states = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather(states, own)
        return torch.stack(states).cpu()

    def resume(self, states: Tensor, rank: int, world_size: int) -> None:
        """Restore this process's part of :meth:`gather`; if their number has changed, rank 0 takes the sum."""
        if len(states) != world_size:
            states = torch.cat([states.sum(0, keepdim=True), states.new_zeros(world_size - 1, 2)])
        self.total, self.samples = states[rank].to(self.device).unbind()
        self._update_count = 1


def finite_samples(x: Tensor) -> Tensor:
    """Return which inputs of ``x[B, ...]`` are finite everywhere: ``BoolTensor[B]``."""
    return torch.isfinite(x.detach()).reshape(len(x), -1).all(dim=1)


def non_finite(place: str, finite: Tensor, dtype: torch.dtype = torch.float32) -> NonFiniteError:
    """Return the error for a batch whose loss or inputs are not finite.

    Args:
        place: names the batch.
        finite: its :func:`finite_samples`.
        dtype: of the loss.
    """
    rows = (~finite).nonzero().flatten().tolist()
    if rows:
        remedy = f"samples {rows[:5]} of the batch contain NaN or infinite values: fix or remove them"
    elif dtype == torch.float16:
        remedy = "16 bits are too coarse and too few for it: set trainer.precision to bf16-true or 16-mixed"
    else:
        remedy = "lower the learning rate, or set trainer.gradient_clip_val"
    return NonFiniteError(f"the {'input' if rows else 'loss'} is not finite in {place}: {remedy}")
