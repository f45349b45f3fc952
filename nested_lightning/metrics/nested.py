"""All metrics of a nested model in one: every level's, and the paths'."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.path import node_confidences
from nested_lightning.functional.reliability import (
    ACCUMULATOR,
    accuracy_of,
    confidence_of,
    ece_of,
    reliability_bins,
)
from nested_lightning.functional.selective import BINS, area_of, risk_histogram
from nested_lightning.metrics.hierarchical import shared_nodes
from nested_lightning.metrics.path import broken_paths, right_paths
from nested_lightning.metrics.tree_distance import wrong_distances
from nested_lightning.taxonomy import Taxonomy


class NestedMetrics(Metric):
    """Accuracy, confidence, calibration error and AURC of every level, and how well the levels form paths.

    One metric with one small state, so that a batch costs one pass over the probabilities and an epoch one
    reduction across processes. The figures are those of :class:`LevelAccuracy`, :class:`LevelConfidence`,
    :class:`LevelECE` and :class:`LevelAURC`, fed level by level; of :class:`PathAccuracy`,
    :class:`InconsistencyRate` and :class:`TreeDistance`, fed with every level's most probable class; and of
    :class:`HierarchicalPrecision`, :class:`HierarchicalRecall`, :class:`HierarchicalF1` and :class:`PathAURC`,
    fed with the one consistent answer.

    Args:
        taxonomy: names and number of the levels, and which classes form paths.
        bins: number of bins of the calibration error.
        threshold: where the consistent answer is cut for precision, recall and F1.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin, or a threshold outside [0, 1].

    Example:
        >>> metrics = NestedMetrics(Taxonomy(["kind", "species"], [("bird", "owl"), ("fish", "cod")]))
        >>> coarse, fine = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.25, 0.75]])
        >>> metrics.update([coarse.log(), fine.log()], torch.tensor([[0, -1]]))
        >>> for name, value in metrics.compute().items():
        ...     print(name, round(float(value), 2))
        kind/accuracy 1.0
        kind/confidence 0.75
        kind/ece 0.25
        kind/aurc 0.0
        species/accuracy nan
        species/confidence nan
        species/ece nan
        species/aurc nan
        path/accuracy nan
        path/inconsistency 1.0
        path/precision 1.0
        path/recall 1.0
        path/f1 1.0
        path/tree_distance nan
        path/aurc 0.0
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    bins: Tensor
    given: Tensor
    right: Tensor
    broken: Tensor
    nodes: Tensor
    distance: Tensor
    risks: Tensor

    def __init__(self, taxonomy: Taxonomy, bins: int = 15, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if bins < 1:
            raise ConfigurationError(f"a calibration error needs at least 1 bin; got bins={bins}")
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"the threshold of a path is a probability between 0 and 1; got {threshold}")
        self.taxonomy = taxonomy
        self.threshold = threshold
        shapes = {
            "bins": (taxonomy.n_levels, bins, 3),
            "given": (taxonomy.n_levels,),
            "right": (2,),
            "broken": (2,),
            "nodes": (3,),
            "distance": (2,),
        }
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=ACCUMULATOR), dist_reduce_fx="sum")
        # Of every level, and last of the paths.
        self.add_state("risks", torch.zeros(taxonomy.n_levels + 1, BINS, 2, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, log_probabilities: Sequence[Tensor], target: Tensor) -> None:
        """Add a batch.

        Args:
            log_probabilities: ``[B, K_i]`` for the first levels, coarse to fine: all, or those up to a stage.
            target: ``LongTensor[B, n_levels]``, -1 = not known, ignored.

        Raises:
            DataError: shapes that do not fit.
        """
        n, n_levels = len(log_probabilities), self.taxonomy.n_levels
        if not 1 <= n <= n_levels or target.ndim != 2 or target.shape[1] != n_levels:
            raise DataError(
                f"the metrics of the levels {', '.join(self.taxonomy.levels)} need log-probabilities of 1 to "
                f"{n_levels} levels and a target [B, {n_levels}]; "
                f"got {n} levels and {tuple(target.shape)}"
            )
        target = target[:, :n]
        parts = [reliability_bins(p.exp(), target[:, i], self.bins.shape[1]) for i, p in enumerate(log_probabilities)]
        unseen = [torch.zeros_like(parts[0])] * (n_levels - n)
        log_confidences, answers = (
            torch.stack(columns, dim=1) for columns in zip(*(p.max(dim=1) for p in log_probabilities), strict=True)
        )
        parents = [self.taxonomy.parents(level, target.device) for level in range(1, n)]
        # Not in place: a state reset under inference mode could not be changed outside of it.
        self.bins = self.bins + torch.stack(parts + unseen)
        self.given = self.given + (torch.arange(n_levels, device=target.device) < n) * len(target)
        self.right = self.right + right_paths(answers, target)
        self.broken = self.broken + broken_paths(answers, parents)
        self.distance = self.distance + wrong_distances(answers, target, self.taxonomy)

        path, log_path = node_confidences(log_probabilities, self.taxonomy)
        self.nodes = self.nodes + shared_nodes(path.masked_fill(log_path.exp() < self.threshold, -1), target)
        known = target >= 0
        risks = torch.zeros_like(self.risks)
        for level in range(n):
            risks[level] = risk_histogram(log_confidences[:, level], (answers == target)[:, level], known[:, level])
        risks[-1] = risk_histogram(log_path, path == target, known)
        self.risks = self.risks + risks

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of the levels seen since the last reset, as scalars.

        Returns:
            Of every level for which rows came, over the rows known there: ``{level}/accuracy``, ``{level}/confidence``,
            ``{level}/ece`` and ``{level}/aurc``. Of the most probable classes of all given levels:
            ``path/accuracy``, the share of rows with every level right, of the rows with all of them known;
            ``path/inconsistency``, the share of rows where they form no path of the taxonomy;
            ``path/tree_distance``, the mean number of edges from a wrong finest class to the right one. Of the
            consistent answer, at known levels: ``path/precision``, ``path/recall`` and ``path/f1`` of its nodes
            when it is cut at the threshold, and ``path/aurc`` over all thresholds. nan where nothing was seen to
            take a mean of.
        """
        values = {}
        for i, (level, given) in enumerate(zip(self.taxonomy.levels, self.given.tolist(), strict=True)):
            if given:
                values[f"{level}/accuracy"] = accuracy_of(self.bins[i])
                values[f"{level}/confidence"] = confidence_of(self.bins[i])
                values[f"{level}/ece"] = ece_of(self.bins[i])
                values[f"{level}/aurc"] = area_of(self.risks[i])
        right, answered, true = self.nodes
        return values | {
            "path/accuracy": self.right[0] / self.right[1],
            "path/inconsistency": self.broken[0] / self.broken[1],
            "path/precision": right / answered,
            "path/recall": right / true,
            "path/f1": 2 * right / (answered + true),
            "path/tree_distance": self.distance[0] / self.distance[1],
            "path/aurc": area_of(self.risks[-1]),
        }

    def plot(self, val: Any = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw one level's reliability diagram.

        Args:
            val: index of the level; ``None`` for the finest one seen.
            ax: matplotlib axes to draw on.

        Returns:
            matplotlib's ``(fig, ax)``.
        """
        from nested_lightning.figures import reliability_diagram  # which draws with matplotlib, and is above this

        level = max(int(self.given.count_nonzero()) - 1, 0) if val is None else val
        fig, ax = reliability_diagram(self.bins[level], ax)
        ax.set_title(f"{self.taxonomy.levels[level]}: {ax.get_title()}")
        return fig, ax
