"""Expected calibration error of one level."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from nested_lightning.functional.reliability import ece_of
from nested_lightning.metrics.level import LevelMetric


class LevelECE(LevelMetric):
    """Expected calibration error over the known rows (Sec. 4.4); nan when no row was known.

    The last bin is closed, so a confidence of exactly 1 counts in it. Functional form:
    :func:`nested_lightning.functional.reliability.level_ece`.

    Args:
        bins: number of bins of equal width.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin.

    Example:
        >>> import torch
        >>> metric = LevelECE()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(0.4000, dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(bins, **kwargs)

    def compute(self) -> Tensor:
        """Return a scalar in [0, 1], or nan."""
        return ece_of(self.bins)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the reliability diagram of what was seen, or, like other metrics, the given values.

        Args:
            val: one value or several; ``None`` for the diagram.
            ax: matplotlib axes to draw on.

        Returns:
            matplotlib's ``(fig, ax)``.
        """
        from nested_lightning.figures import reliability_diagram  # which draws with matplotlib, and is above this

        return reliability_diagram(self.bins, ax) if val is None else super().plot(val, ax)
