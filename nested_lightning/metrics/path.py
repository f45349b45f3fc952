"""Metrics of whole paths: are all levels right, and do they fit together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import ACCUMULATOR


def right_paths(predictions: Tensor, target: Tensor) -> Tensor:
    """Count the rows with every level right, and the rows with every level known.

    Args:
        predictions: ``LongTensor[B, n]``, a class index per level; -1 (no answer) is never right.
        target: ``LongTensor[B, n]``, -1 = not known.

    Returns:
        ``[2]``: right rows, known rows.

    Raises:
        DataError: shapes that do not fit.
    """
    check_paths(predictions, target)
    known = (target >= 0).all(dim=1)
    right = known & (predictions == target).all(dim=1)
    return torch.stack([right.sum(), known.sum()]).to(ACCUMULATOR)


def broken_paths(predictions: Tensor, parents: Sequence[Tensor]) -> Tensor:
    """Count the rows whose answers do not form one path, and all rows.

    Args:
        predictions: ``LongTensor[B, n]``, the class index at each of the first ``n`` levels; -1 (no answer)
            contradicts nothing above it.
        parents: for each level but the coarsest, ``LongTensor[K_i]``: the index of each class's parent.

    Returns:
        ``[2]``: broken rows, all rows.

    Raises:
        DataError: more levels than there are parents for.
    """
    if predictions.ndim != 2 or predictions.shape[1] > len(parents) + 1:
        raise DataError(
            f"the inconsistency of paths needs predictions [B, levels] of at most {len(parents) + 1} levels; "
            f"got {tuple(predictions.shape)}"
        )
    broken = torch.zeros(len(predictions), dtype=torch.bool, device=predictions.device)
    for level, of_level in zip(range(1, predictions.shape[1]), parents, strict=False):
        above, child = predictions[:, level - 1], predictions[:, level]
        broken |= (child >= 0) & (of_level[child.clamp(min=0)] != above)
    return torch.stack([broken.sum(), broken.new_ones(()) * len(broken)]).to(ACCUMULATOR)


def check_paths(predictions: Tensor, target: Tensor) -> None:
    """Raise DataError unless both are ``[B, levels]``."""
    if predictions.ndim != 2 or predictions.shape != target.shape:
        raise DataError(
            "metrics of paths need predictions and target of the same shape [B, levels]; "
            f"got {tuple(predictions.shape)} and {tuple(target.shape)}"
        )


class PathMetric(Metric):
    """Base of the metrics of paths: the ratio of two sums over the rows, nan when the second is 0."""

    is_differentiable = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound: float | None = 1.0
    counts: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(2, dtype=ACCUMULATOR), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """Return a scalar."""
        return self.counts[0] / self.counts[1]

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the value, or several values in their order; returns matplotlib's ``(fig, ax)``."""
        return self._plot(val, ax)


class PathAccuracy(PathMetric):
    """Share of rows with every level right, of the rows with every level known; nan when there was none.

    Example:
        >>> metric = PathAccuracy()
        >>> metric.update(torch.tensor([[0, 2], [0, 1], [1, 3]]), torch.tensor([[0, 2], [0, 2], [1, -1]]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`right_paths`."""
        self.counts = self.counts + right_paths(predictions, target)


class InconsistencyRate(PathMetric):
    """Share of rows whose answers do not form one path: some level's class is no child of the level above's.

    Known elsewhere as TICE, tree-induced contradiction error. nan when there was no row.

    Args:
        parents: for each level but the coarsest, ``LongTensor[K_i]``: the index of each class's parent
            (``[taxonomy.parents(level) for level in range(1, taxonomy.n_levels)]``).
        **kwargs: passed to ``torchmetrics.Metric``.

    Example:
        >>> metric = InconsistencyRate([torch.tensor([0, 0, 1])])
        >>> metric.update(torch.tensor([[0, 0], [0, 1], [0, 2], [1, 2]]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, parents: Sequence[Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._n_parents = len(parents)
        for level, of_level in enumerate(parents, start=1):
            self.register_buffer(f"parents_{level}", of_level, persistent=False)

    def update(self, predictions: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`broken_paths`."""
        parents = [getattr(self, f"parents_{level}") for level in range(1, self._n_parents + 1)]
        self.counts = self.counts + broken_paths(predictions, parents)
