"""What the metrics of one level have in common: sums per bin of confidence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.reliability import ACCUMULATOR, reliability_bins


class LevelMetric(Metric):
    """Base of the metrics of one level.

    The state is one small tensor, whatever the number of rows; it adds up over batches and processes, and is
    no part of checkpoints. ``update`` neither synchronises nor checks the range of the values.

    Args:
        bins: number of bins of equal width over the confidences.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin.
    """

    is_differentiable = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    bins: Tensor

    def __init__(self, bins: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if bins < 1:
            raise ConfigurationError(f"a metric of confidences needs at least 1 bin; got bins={bins}")
        self.add_state("bins", torch.zeros(bins, 3, dtype=ACCUMULATOR), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            probabilities: ``[B, K]`` in [0, 1], over the real classes.
            target: ``LongTensor[B]``, -1 = not known, ignored.

        Raises:
            DataError: shapes that do not fit.
        """
        # Not in place: a state reset under inference mode could not be changed outside of it.
        self.bins = self.bins + reliability_bins(probabilities, target, len(self.bins))

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the value, or several values in their order; returns matplotlib's ``(fig, ax)``."""
        return self._plot(val, ax)
