"""How far wrong answers are from the truth, in edges of the tree."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import ACCUMULATOR
from nested_lightning.metrics.path import PathMetric, check_paths
from nested_lightning.taxonomy import Taxonomy


def wrong_distances(predictions: Tensor, target: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Sum up the edges between answer and truth, over the rows that are wrong at the finest of the given levels.

    The way leads up from the answer to the nearest common ancestor, or to the root above the coarsest level, and down
    to the truth. A leaf above the finest level counts where it really sits, not where it is carried down to.

    Args:
        predictions: ``LongTensor[B, n]``, a class index per level; the last column counts and has no -1.
        target: ``LongTensor[B, n]``, -1 = not known: the row is left out.
        taxonomy: the tree.

    Returns:
        ``[2]``: edges, wrong rows.

    Raises:
        DataError: shapes that do not fit.
    """
    check_paths(predictions, target)
    finest = predictions.shape[1] - 1
    if not 0 <= finest < taxonomy.n_levels:
        raise DataError(
            f"distances in the tree need predictions [B, levels] of 1 to {taxonomy.n_levels} levels; "
            f"got {tuple(predictions.shape)}"
        )
    wrong = (target[:, -1] >= 0) & (predictions[:, -1] != target[:, -1])
    pair = torch.stack([predictions[:, -1], target[:, -1]]).clamp(min=0)
    edges = _depths(taxonomy, finest, pair.device)[pair].sum(dim=0)
    for level in range(finest):
        answer, truth = taxonomy.ancestors(finest, level, pair.device)[pair]
        edges = edges - 2 * (answer == truth)
    return torch.stack([edges.where(wrong, 0).sum(), wrong.sum()]).to(ACCUMULATOR)


class TreeDistance(PathMetric):
    """Mean number of edges between answer and truth, of the rows that are wrong; nan when none is.

    Says how bad mistakes are: 2 is a sibling. Only the finest level given is looked at; see :func:`wrong_distances`.

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

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`wrong_distances`."""
        self.counts = self.counts + wrong_distances(predictions, target, self.taxonomy)


@lru_cache(maxsize=64)
def _depths(taxonomy: Taxonomy, level: int, device: torch.device) -> Tensor:
    """Return the number of edges from the root to each class of ``level``, ``LongTensor[sizes[level]]``."""
    depths = [0] * taxonomy.sizes[level]
    for of_class, leaf in zip(taxonomy.ancestors(-1, level).tolist(), taxonomy.short_leaves, strict=True):
        depths[of_class] = min(len(leaf), level + 1)
    return torch.tensor(depths, device=device)
