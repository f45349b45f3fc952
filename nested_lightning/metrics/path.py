"""The metrics of whole paths: accuracy, consistency, and distance in the tree.

Predictions and targets are ``LongTensor[B, n]``, a class index for each of the first ``n`` levels: -1 is no prediction,
as below the depth of a cut path, or a label that is not known. Shapes that do not fit are a DataError.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import ACCUMULATOR
from nested_lightning.metrics.level import SumMetric
from nested_lightning.taxonomy import Taxonomy


def correct_paths(preds: Tensor, target: Tensor) -> Tensor:
    """Count the samples with every level correct, and the samples with every level known: ``[2]``."""
    check_paths(preds, target)
    known = (target >= 0).all(dim=1)
    return _counts(known & (preds == target).all(dim=1), known)


def inconsistent_paths(preds: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Count the samples whose predictions do not form one path of the tree, and all samples: ``[2]``.

    No prediction (-1) contradicts nothing above it.
    """
    check_levels("inconsistencies of paths", preds, taxonomy)
    inconsistent = torch.zeros(len(preds), dtype=torch.bool, device=preds.device)
    for level in range(1, preds.shape[1]):
        above, child = preds[:, level - 1], preds[:, level]
        inconsistent |= (child >= 0) & (taxonomy.parents(level, child.device)[child.clamp(min=0)] != above)
    return _counts(inconsistent, torch.ones_like(inconsistent))


def tree_distances(preds: Tensor, target: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Sum the edges from prediction to truth over the mistakes at the finest given level: ``[2]``, edges and mistakes.

    The shortest way leads from the prediction up to the nearest common ancestor (the root above the coarsest level at
    the latest) and down to the truth. A leaf above the finest level counts at its real depth. Only the last column
    counts; its predictions have no -1.
    """
    check_paths(preds, target)
    finest = preds.shape[1] - 1
    check_levels("distances in the tree", preds, taxonomy)
    mistake = (target[:, -1] >= 0) & (preds[:, -1] != target[:, -1])
    pair = torch.stack([preds[:, -1], target[:, -1]]).clamp(min=0)
    edges = depths_of(taxonomy, finest, pair.device)[pair].sum(dim=0)
    for level in range(finest):
        predicted, true = taxonomy.ancestors(finest, level, pair.device)[pair]
        edges = edges - 2 * (predicted == true)
    return _counts(edges.where(mistake, 0), mistake)


class PathMetric(SumMetric):
    """Base of the metrics of paths: the ratio of two sums over the samples, nan when the second is 0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(torch.zeros(2, dtype=ACCUMULATOR), **kwargs)

    def compute(self) -> Tensor:
        """Return a scalar."""
        return self.sums[0] / self.sums[1]


class PathAccuracy(PathMetric):
    """Share of samples with every level correct, of those with every level known; nan when there was none.

    Example:
        >>> metric = PathAccuracy()
        >>> metric.update(torch.tensor([[0, 2], [0, 1], [1, 3]]), torch.tensor([[0, 2], [0, 2], [1, -1]]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of ``[B, n]``; see :func:`correct_paths`."""
        self._add(correct_paths(preds, target))


class InconsistencyRate(PathMetric):
    """Share of samples whose predictions do not form one path; nan without samples.

    Also known as TICE, tree-induced contradiction error.

    Args:
        taxonomy: the tree.
        **kwargs: passed to ``torchmetrics.Metric``.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")])
        >>> metric = InconsistencyRate(taxonomy)
        >>> metric.update(torch.tensor([[0, 0], [0, 1], [0, 2], [1, 2]]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, taxonomy: Taxonomy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taxonomy = taxonomy

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Add a batch of ``[B, n]``; see :func:`inconsistent_paths`. ``target`` is not used: collections pass it."""
        self._add(inconsistent_paths(preds, self.taxonomy))


class TreeDistance(PathMetric):
    """Mean number of edges between prediction and truth over the mistakes at the finest given level; nan without any.

    Tells how bad mistakes are: 2 is a sibling.

    Args:
        taxonomy: the tree.
        **kwargs: passed to ``torchmetrics.Metric``.

    Example:
        >>> metric = TreeDistance(Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")]))
        >>> metric.update(torch.tensor([[0, 0], [0, 0], [0, 0]]), torch.tensor([[0, 0], [0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(3., dtype=torch.float64)
    """

    higher_is_better = False
    plot_upper_bound = None

    def __init__(self, taxonomy: Taxonomy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taxonomy = taxonomy

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of ``[B, n]``; see :func:`tree_distances`."""
        self._add(tree_distances(preds, target, self.taxonomy))


def check_paths(preds: Tensor, target: Tensor) -> None:
    """Raise DataError unless both are ``[B, n]``."""
    if preds.ndim != 2 or preds.shape != target.shape:
        raise DataError(
            "metrics of paths need preds and target of the same shape [B, levels]; "
            f"got {tuple(preds.shape)} and {tuple(target.shape)}"
        )


def check_levels(what: str, preds: Tensor, taxonomy: Taxonomy) -> None:
    """Raise DataError unless these are ``[B, n]`` for the first levels of the taxonomy."""
    if preds.ndim != 2 or not 1 <= preds.shape[1] <= taxonomy.n_levels:
        raise DataError(f"{what} need preds [B, levels] of 1 to {taxonomy.n_levels} levels; got {tuple(preds.shape)}")


def _counts(*counted: Tensor) -> Tensor:
    return torch.stack([one.sum() for one in counted]).to(ACCUMULATOR)


@lru_cache(maxsize=64)
def depths_of(taxonomy: Taxonomy, level: int, device: torch.device) -> Tensor:
    """Return the number of edges from the root to each class of ``level``, ``LongTensor[sizes[level]]``."""
    depths = [0] * taxonomy.sizes[level]
    for of_class, leaf in zip(taxonomy.ancestors(-1, level).tolist(), taxonomy.short_leaves, strict=True):
        depths[of_class] = min(len(leaf), level + 1)
    return torch.tensor(depths, device=device)
