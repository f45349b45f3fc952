"""A mean over an epoch that goes on where a checkpoint within the epoch has left it."""

import torch
from torch import Tensor
from torchmetrics import Metric


class RunningMean(Metric):
    """A mean of batches' scalars over all their rows and all processes.

    Lightning's own mean forgets the batches before an interruption, and where processes have different numbers of rows
    it divides by a number of rows that is rounded. The one of torchmetrics waits for the device with every batch, to
    look for NaN (the module refuses them), or does not weight.

    Example:
        >>> before, after = RunningMean(), RunningMean()
        >>> before.update(torch.tensor(1.0), 30)
        >>> after.go_on_from(before.of_all_processes(), rank=0, world_size=1)
        >>> after.update(torch.tensor(5.0), 10)
        >>> after.compute()
        tensor(2.)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "rows"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, rows: int) -> None:
        """Add the mean ``value`` (a scalar) of a batch of ``rows``."""
        self.total = self.total + value.detach() * rows
        self.rows = self.rows + rows

    def compute(self) -> Tensor:
        """Return the mean, a scalar; nan without rows."""
        return self.total / self.rows

    @property
    def state(self) -> Tensor:
        """Weighted sum and number of rows of this process, ``FloatTensor[2]``."""
        return torch.stack([self.total, self.rows])

    def of_all_processes(self) -> Tensor:
        """Return the state of every process, ``FloatTensor[world_size, 2]``; every process has to call it."""
        states = [self.state]
        if torch.distributed.is_initialized():
            states = [torch.empty_like(self.state) for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather(states, self.state)
        return torch.stack(states).cpu()

    def go_on_from(self, states: Tensor, rank: int, world_size: int) -> None:
        """Take over this process's part of ``of_all_processes``; where the number has changed, rank 0 takes the sum."""
        if len(states) != world_size:
            states = torch.cat([states.sum(0, keepdim=True), states.new_zeros(world_size - 1, 2)])
        mine = states[rank].to(self.device)
        self.total, self.rows, self._update_count = mine[0], mine[1], 1
