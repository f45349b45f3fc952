"""Accuracy of one level."""

from torch import Tensor

from nested_lightning.functional.reliability import accuracy_of
from nested_lightning.metrics.level import LevelMetric


class LevelAccuracy(LevelMetric):
    """Share of the known rows whose most probable class is the right one; nan when no row was known.

    Functional form: :func:`nested_lightning.functional.reliability.level_accuracy`.

    Example:
        >>> import torch
        >>> metric = LevelAccuracy()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, -1]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return a scalar in [0, 1], or nan."""
        return accuracy_of(self.bins)
