"""Mean confidence of one level."""

from torch import Tensor

from nested_lightning.functional.reliability import confidence_of
from nested_lightning.metrics.level import LevelMetric


class LevelConfidence(LevelMetric):
    """Mean of the highest probability over the known rows; nan when no row was known.

    Functional form: :func:`nested_lightning.functional.reliability.level_confidence`.

    Example:
        >>> import torch
        >>> metric = LevelConfidence()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.5, 0.3]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(0.7000, dtype=torch.float64)
    """

    higher_is_better = None

    def compute(self) -> Tensor:
        """Return a scalar in [0, 1], or nan."""
        return confidence_of(self.bins)
