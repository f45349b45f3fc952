"""All metrics of a nested model in one: those of every level, and those of the paths."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.path import levels_of, node_confidences
from nested_lightning.functional.reliability import ACCUMULATOR, accuracy_of, confidence_of, ece_of, reliability_bins
from nested_lightning.functional.selective import BINS, area_of, risk_histogram
from nested_lightning.metrics.hierarchical import shared_nodes
from nested_lightning.metrics.level import UngroupedMetric
from nested_lightning.metrics.path import correct_paths, inconsistent_paths, tree_distances
from nested_lightning.taxonomy import Taxonomy


class NestedMetrics(UngroupedMetric):
    """Accuracy, confidence, calibration error and AURC of every level, and the metrics of paths.

    One metric with one small state: a batch costs one pass over the probabilities, an epoch one reduction across
    processes. The values are those of :class:`LevelAccuracy`, :class:`LevelConfidence`, :class:`LevelECE` and
    :class:`LevelAURC` level by level; of :class:`PathAccuracy`, :class:`InconsistencyRate` and :class:`TreeDistance`
    for every level's most probable class; and of :class:`HierarchicalPrecision`, :class:`HierarchicalRecall`,
    :class:`HierarchicalF1` and :class:`PathAURC` for the consistent path.

    Args:
        taxonomy: the tree.
        n_bins: number of bins of the calibration error.
        threshold: where the consistent path is cut for precision, recall and F1.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin, or a threshold outside [0, 1].

    Example:
        >>> metrics = NestedMetrics(Taxonomy(["kind", "species"], [("bird", "owl"), ("fish", "cod")]))
        >>> coarse, fine = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.25, 0.75]])
        >>> metrics.update([coarse.log(), fine.log()], torch.tensor([[0, -1]]))
        >>> values = metrics.compute()
        >>> [float(values[f"kind/{name}"]) for name in ("accuracy", "confidence", "ece", "aurc")]
        [1.0, 0.75, 0.25, 0.0]
        >>> float(values["path/inconsistency"]), float(values["species/accuracy"])
        (1.0, nan)
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    bins: Tensor
    seen: Tensor
    correct: Tensor
    inconsistent: Tensor
    nodes: Tensor
    distances: Tensor
    risks: Tensor

    def __init__(self, taxonomy: Taxonomy, n_bins: int = 15, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if n_bins < 1:
            raise ConfigurationError(f"a calibration error needs at least 1 bin; got n_bins={n_bins}")
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"the threshold of a path is a probability between 0 and 1; got {threshold}")
        self.taxonomy = taxonomy
        self.threshold = threshold
        n_levels = taxonomy.n_levels
        shapes = {"bins": (n_levels, n_bins, 3), "seen": (n_levels,), "nodes": (3,)}
        for name in ("bins", "seen", "correct", "inconsistent", "nodes", "distances"):
            self.add_state(name, torch.zeros(shapes.get(name, (2,)), dtype=ACCUMULATOR), dist_reduce_fx="sum")
        # Of every level, and last of the paths.
        self.add_state("risks", torch.zeros(n_levels + 1, BINS, 2, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor | Sequence[Tensor], target: Tensor) -> None:
        """Add a batch.

        Args:
            preds: log-probabilities ``[B, K_i]`` for the first levels, coarse to fine: all, or those up to a stage. In
                a list, or side by side in one tensor.
            target: ``LongTensor[B, n_levels]``, -1 = not known, ignored.

        Raises:
            DataError: shapes that do not fit.
        """
        log_probabilities = levels_of(preds, self.taxonomy)
        n, n_levels = len(log_probabilities), self.taxonomy.n_levels
        if not 1 <= n <= n_levels or target.ndim != 2 or target.shape[1] != n_levels:
            raise DataError(
                f"the metrics of the levels {', '.join(self.taxonomy.levels)} need log-probabilities of 1 to "
                f"{n_levels} levels and a target [B, {n_levels}]; got {n} levels and {tuple(target.shape)}"
            )
        target = target[:, :n]
        known = target >= 0
        path, log_path = node_confidences(log_probabilities, self.taxonomy)
        bins, risks, best = torch.zeros_like(self.bins), torch.zeros_like(self.risks), torch.empty_like(path)
        for level, log_p in enumerate(log_probabilities):
            bins[level] = reliability_bins(log_p.exp(), target[:, level], bins.shape[1])
            log_confidence, best[:, level] = log_p.max(dim=1)
            risks[level] = risk_histogram(log_confidence, best[:, level] == target[:, level], known[:, level])
        risks[-1] = risk_histogram(log_path, path == target, known)
        # Not in place: a state that was reset under inference mode cannot be changed outside of it.
        self.bins, self.risks = self.bins + bins, self.risks + risks
        self.seen = self.seen + (torch.arange(n_levels, device=target.device) < n) * len(target)
        self.correct = self.correct + correct_paths(best, target)
        self.inconsistent = self.inconsistent + inconsistent_paths(best, self.taxonomy)
        self.distances = self.distances + tree_distances(best, target, self.taxonomy)
        cut = path.masked_fill(log_path.exp() < self.threshold, -1)
        self.nodes = self.nodes + shared_nodes(cut, target, self.taxonomy).sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of the samples since the last reset, as scalars.

        Returns:
            For every level seen, over its known samples: ``{level}/accuracy``, ``{level}/confidence``, ``{level}/ece``
            and ``{level}/aurc``. For the most probable classes of all given levels: ``path/accuracy``, the share of
            samples with every level correct, of those with all of them known; ``path/inconsistency``, the share of
            samples where they do not form a path of the taxonomy; ``path/tree_distance``, the mean number of edges
            from an incorrect finest class to the correct one. For the consistent path, at known levels:
            ``path/precision``, ``path/recall`` and ``path/f1`` of its nodes when cut at the threshold (micro), and
            ``path/aurc`` over all thresholds. nan where there is nothing to average.
        """
        values = {}
        for i, (level, seen) in enumerate(zip(self.taxonomy.levels, self.seen.tolist(), strict=True)):
            if seen:
                values[f"{level}/accuracy"] = accuracy_of(self.bins[i])
                values[f"{level}/confidence"] = confidence_of(self.bins[i])
                values[f"{level}/ece"] = ece_of(self.bins[i])
                values[f"{level}/aurc"] = area_of(self.risks[i])
        correct, predicted, true = self.nodes
        return values | {
            "path/accuracy": self.correct[0] / self.correct[1],
            "path/inconsistency": self.inconsistent[0] / self.inconsistent[1],
            "path/precision": correct / predicted,
            "path/recall": correct / true,
            "path/f1": 2 * correct / (predicted + true),
            "path/tree_distance": self.distances[0] / self.distances[1],
            "path/aurc": area_of(self.risks[-1]),
        }

    def plot(self, val: int | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the reliability diagram of the level with index ``val``, by default the finest one seen.

        Returns:
            matplotlib's ``(fig, ax)``.
        """
        from nested_lightning.figures import reliability_diagram  # imports matplotlib

        level = max(int(self.seen.count_nonzero()) - 1, 0) if val is None else val
        fig, ax = reliability_diagram(self.bins[level], ax)
        ax.set_title(f"{self.taxonomy.levels[level]}: {ax.get_title()}")
        return fig, ax
