"""Hierarchical precision, recall and F1: the nodes of predicted paths compared with those of true paths.

Predictions and targets are those of :mod:`nested_lightning.metrics.path`.
"""

import math
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.reliability import ACCUMULATOR
from nested_lightning.metrics.level import SumMetric
from nested_lightning.metrics.path import check_levels, check_paths, depths_of
from nested_lightning.taxonomy import Taxonomy

Average = Literal["micro", "macro"]


def shared_nodes(preds: Tensor, target: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Count each sample's nodes at its known levels: in both paths, predicted, and of the truth, ``LongTensor[B, 3]``.

    Paths are sets of nodes: a leaf above the finest level is one node, at whichever levels it is carried down to.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("stone",)])
        >>> shared_nodes(torch.tensor([[0, 1], [1, 2], [0, 0]]), torch.tensor([[0, -1], [1, 2], [1, 2]]), taxonomy)
        tensor([[1, 1, 1],
                [1, 1, 1],
                [0, 2, 1]])
    """
    check_paths(preds, target)
    check_levels("nodes of paths", preds, taxonomy)
    known = target >= 0
    predicted, true = (_real_nodes(paths, taxonomy).where(known & (paths >= 0), -1) for paths in (preds, target))
    counted = [(nodes >= 0) & ~_equal_nodes(nodes, nodes).tril(-1).any(dim=2) for nodes in (predicted, true)]
    shared = counted[0] & _equal_nodes(predicted, true).any(dim=2)
    return torch.stack([nodes.sum(dim=1) for nodes in (shared, *counted)], dim=1)


def node_scores(preds: Tensor, target: Tensor, taxonomy: Taxonomy, average: Average, zero_division: float) -> Tensor:
    """Return numerator and denominator of hierarchical precision, recall and F1, which add up over batches: ``[3, 2]``.

    Arguments as in :class:`HierarchicalMetric` and :func:`shared_nodes`.
    """
    correct, predicted, true = shared_nodes(preds, target, taxonomy).to(ACCUMULATOR).unbind(dim=1)
    above, below = torch.stack([correct, correct, 2 * correct]), torch.stack([predicted, true, predicted + true])
    if average == "macro":
        scores = (above / below).where(below > 0, zero_division)
        scored = (true > 0) & ~scores.isnan()
        above, below = scores.where(scored, 0), scored
    return torch.stack([above.sum(dim=1), below.sum(dim=1)], dim=1)


class HierarchicalMetric(SumMetric):
    """Base of hierarchical precision, recall and F1, equal to those of hiclass.

    They compare the nodes of the predicted path with those of the true one, at the levels whose target is known. A leaf
    above the finest level is one node, at whichever levels it is carried down to; a path that is cut early predicts
    fewer nodes.

    Args:
        taxonomy: the tree.
        average: ``"micro"`` counts the nodes of all samples together. ``"macro"`` is the mean of the samples' values,
            over the samples with a known label (``average="samples"`` of scikit-learn).
        zero_division: value where there is nothing to divide by: 0, 1, or nan, which ``"macro"`` leaves out of the
            mean (as scikit-learn does).
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: an unknown average, or another ``zero_division``.
    """

    higher_is_better = True
    _score: int

    def __init__(
        self, taxonomy: Taxonomy, average: Average = "micro", zero_division: float = math.nan, **kwargs: Any
    ) -> None:
        if average not in get_args(Average):
            raise ConfigurationError(f"unknown average {average!r}. Choose from {', '.join(get_args(Average))}")
        if zero_division not in (0, 1) and not math.isnan(zero_division):
            raise ConfigurationError(f"zero_division must be 0, 1 or nan; got {zero_division}")
        super().__init__(torch.zeros(3, 2, dtype=ACCUMULATOR), **kwargs)
        self.taxonomy, self.average, self.zero_division = taxonomy, average, float(zero_division)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of ``[B, n]``; see :func:`node_scores`."""
        self._add(node_scores(preds, target, self.taxonomy, self.average, self.zero_division))

    def compute(self) -> Tensor:
        """Return the precision, recall or F1, a scalar in [0, 1], or ``zero_division``."""
        above, below = self.sums[self._score].unbind()
        return (above / below).where(below > 0, self.zero_division)


class HierarchicalPrecision(HierarchicalMetric):
    """Share of the predicted nodes that are correct; arguments as in :class:`HierarchicalMetric`.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("stone",)])
        >>> metric = HierarchicalPrecision(taxonomy)
        >>> metric.update(torch.tensor([[0, -1], [0, 0]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.3333, dtype=torch.float64)
    """

    _score = 0


class HierarchicalRecall(HierarchicalMetric):
    """Share of the true nodes that are predicted; arguments as in :class:`HierarchicalMetric`.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("stone",)])
        >>> metric = HierarchicalRecall(taxonomy, average="macro")
        >>> metric.update(torch.tensor([[0, -1], [1, 2]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    _score = 1


class HierarchicalF1(HierarchicalMetric):
    """Harmonic mean of hierarchical precision and recall; arguments as in :class:`HierarchicalMetric`.

    Where nothing was predicted it is 0.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("stone",)])
        >>> metric = HierarchicalF1(taxonomy)
        >>> metric.update(torch.tensor([[0, -1], [0, 0]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.3333, dtype=torch.float64)
    """

    _score = 2


def _real_nodes(paths: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return a number for every node of paths ``[B, n]``, the same at all levels that a leaf is carried down to."""
    columns = enumerate(paths.clamp(min=0).unbind(dim=1))
    return torch.stack([_node_numbers(taxonomy, level, paths.device)[k] for level, k in columns], dim=1)


@lru_cache(maxsize=64)
def _node_numbers(taxonomy: Taxonomy, level: int, device: torch.device) -> Tensor:
    """Return the number of each class of ``level`` among all nodes of the tree: ``LongTensor[sizes[level]]``."""
    depths = depths_of(taxonomy, level, torch.device("cpu"))
    numbers, first = torch.empty_like(depths), 0
    for at in range(level + 1):
        numbers = torch.where(depths == at + 1, first + taxonomy.ancestors(level, at), numbers)
        first += taxonomy.sizes[at]
    return numbers.to(device)


def _equal_nodes(nodes: Tensor, others: Tensor) -> Tensor:
    """Return which of a sample's ``nodes`` is which of its ``others``: ``[B, n]`` twice to ``[B, n, n]``."""
    return nodes.unsqueeze(2) == others.unsqueeze(1)
