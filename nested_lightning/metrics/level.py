"""The metrics of one level, computed from sums per bin of confidence, and the base of all metrics that sum up."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.reliability import ACCUMULATOR, accuracy_of, confidence_of, ece_of, reliability_bins


class UngroupedMetric(Metric):
    """Base of all metrics: each has a state of its own in a ``torchmetrics.MetricCollection``.

    A collection lets metrics share one state for good if their states are equal after the first batch, as those of
    precision and recall are while no path is cut, or those of two thresholds. NaN is equal to nothing. Groups given as
    ``compute_groups`` are kept.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("ungrouped", torch.tensor(torch.nan), dist_reduce_fx="max")


class SumMetric(UngroupedMetric):
    """Base of the metrics whose state is one tensor of sums, the same size for any number of samples.

    It adds up over batches and processes and is not part of checkpoints. ``update`` does not synchronise.

    Args:
        zeros: the empty state.
        **kwargs: passed to ``torchmetrics.Metric``.
    """

    is_differentiable = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound: float | None = 1.0
    sums: Tensor

    def __init__(self, zeros: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", zeros, dist_reduce_fx="sum")

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the value, or several values in their order; returns matplotlib's ``(fig, ax)``."""
        return self._plot(val, ax)

    def _add(self, sums: Tensor) -> None:
        # Not in place: a state that was reset under inference mode cannot be changed outside of it.
        self.sums = self.sums + sums


class LevelMetric(SumMetric):
    """Base of the metrics of one level.

    Args:
        n_bins: number of bins of equal width over the confidences.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin.
    """

    def __init__(self, n_bins: int = 1, **kwargs: Any) -> None:
        if n_bins < 1:
            raise ConfigurationError(f"a metric of confidences needs at least 1 bin; got n_bins={n_bins}")
        super().__init__(torch.zeros(n_bins, 3, dtype=ACCUMULATOR), **kwargs)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            preds: probabilities ``[B, K]`` in [0, 1] (not checked), over the real classes.
            target: ``LongTensor[B]``, -1 = not known, ignored.

        Raises:
            DataError: shapes that do not fit.
        """
        self._add(reliability_bins(preds, target, len(self.sums)))


class LevelAccuracy(LevelMetric):
    """Share of the known samples whose most probable class is correct; nan when none was known.

    Functional form: :func:`nested_lightning.functional.reliability.level_accuracy`.

    Example:
        >>> metric = LevelAccuracy()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, -1]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Return the accuracy, a scalar in [0, 1]; nan if no label is known."""
        return accuracy_of(self.sums)


class LevelConfidence(LevelMetric):
    """Mean of the highest probability over the known samples; nan when none was known.

    Functional form: :func:`nested_lightning.functional.reliability.level_confidence`.

    Example:
        >>> metric = LevelConfidence()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.5, 0.3]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(0.7000, dtype=torch.float64)
    """

    higher_is_better = None

    def compute(self) -> Tensor:
        """Return the mean confidence, a scalar in [0, 1]; nan if no label is known."""
        return confidence_of(self.sums)


class LevelECE(LevelMetric):
    """Expected calibration error over the known samples (Sec. 4.4); nan when none was known.

    The last bin is closed, so it includes a confidence of exactly 1. Functional form:
    :func:`nested_lightning.functional.reliability.level_ece`.

    Args:
        n_bins: number of bins of equal width.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin.

    Example:
        >>> metric = LevelECE()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(0.4000, dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, n_bins: int = 15, **kwargs: Any) -> None:
        super().__init__(n_bins, **kwargs)

    def compute(self) -> Tensor:
        """Return the expected calibration error, a scalar in [0, 1]; nan if no label is known."""
        return ece_of(self.sums)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the reliability diagram of the samples so far, or the values given; returns ``(fig, ax)``."""
        from nested_lightning.figures import reliability_diagram  # imports matplotlib

        return reliability_diagram(self.sums, ax) if val is None else super().plot(val, ax)
