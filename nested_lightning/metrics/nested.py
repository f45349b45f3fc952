"""All metrics of a nested model in one: every level's, and the paths'."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.metrics.diagram import reliability_diagram
from nested_lightning.metrics.functional import (
    ACCUMULATOR,
    accuracy_of,
    confidence_of,
    ece_of,
    reliability_bins,
)
from nested_lightning.metrics.path import broken_paths, right_paths
from nested_lightning.taxonomy import Taxonomy


class NestedMetrics(Metric):
    """Accuracy, confidence and calibration error of every level, and how well the levels form paths.

    One metric with one small state, so that a batch costs one pass over the probabilities and an epoch one
    reduction across processes. The figures are those of :class:`LevelAccuracy`, :class:`LevelConfidence`,
    :class:`LevelECE`, :class:`PathAccuracy` and :class:`InconsistencyRate`, fed level by level.

    Args:
        taxonomy: names and number of the levels, and which classes form paths.
        bins: number of bins of the calibration error.
        **kwargs: passed to ``torchmetrics.Metric``.

    Raises:
        ConfigurationError: fewer than one bin.

    Example:
        >>> metrics = NestedMetrics(Taxonomy(["kind", "species"], [("bird", "owl"), ("fish", "cod")]))
        >>> coarse, fine = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.25, 0.75]])
        >>> metrics.update([coarse.log(), fine.log()], torch.tensor([[0, -1]]))
        >>> for name, value in metrics.compute().items():
        ...     print(name, round(float(value), 2))
        kind/accuracy 1.0
        kind/confidence 0.75
        kind/ece 0.25
        species/accuracy nan
        species/confidence nan
        species/ece nan
        path/accuracy nan
        path/inconsistency 1.0
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    bins: Tensor
    given: Tensor
    right: Tensor
    broken: Tensor

    def __init__(self, taxonomy: Taxonomy, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if bins < 1:
            raise ConfigurationError(f"a calibration error needs at least 1 bin; got bins={bins}")
        self.taxonomy = taxonomy
        shapes = {
            "bins": (taxonomy.n_levels, bins, 3),
            "given": (taxonomy.n_levels,),
            "right": (2,),
            "broken": (2,),
        }
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=ACCUMULATOR), dist_reduce_fx="sum")

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
        parts = [reliability_bins(p.exp(), target[:, i], self.bins.shape[1]) for i, p in enumerate(log_probabilities)]
        unseen = [torch.zeros_like(parts[0])] * (n_levels - n)
        answers = torch.stack([p.argmax(dim=1) for p in log_probabilities], dim=1)
        parents = [self.taxonomy.parents(level, target.device) for level in range(1, n)]
        # Not in place: a state reset under inference mode could not be changed outside of it.
        self.bins = self.bins + torch.stack(parts + unseen)
        self.given = self.given + (torch.arange(n_levels, device=target.device) < n) * len(target)
        self.right = self.right + right_paths(answers, target[:, :n])
        self.broken = self.broken + broken_paths(answers, parents)

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of the levels seen since the last reset, as scalars.

        Returns:
            ``{level}/accuracy``, ``{level}/confidence`` and ``{level}/ece`` of every level for which rows
            came; ``path/accuracy``: share of rows with every given level right, of the rows with all of them
            known; ``path/inconsistency``: share of rows whose most probable classes form no path of the
            taxonomy. nan where no known row was seen.
        """
        values = {}
        for level, bins, given in zip(self.taxonomy.levels, self.bins, self.given.tolist(), strict=True):
            if given:
                values[f"{level}/accuracy"] = accuracy_of(bins)
                values[f"{level}/confidence"] = confidence_of(bins)
                values[f"{level}/ece"] = ece_of(bins)
        values["path/accuracy"] = self.right[0] / self.right[1]
        values["path/inconsistency"] = self.broken[0] / self.broken[1]
        return values

    def plot(self, val: Any = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw one level's reliability diagram.

        Args:
            val: index of the level; ``None`` for the finest one seen.
            ax: matplotlib axes to draw on.

        Returns:
            matplotlib's ``(fig, ax)``.
        """
        level = max(int(self.given.count_nonzero()) - 1, 0) if val is None else val
        fig, ax = reliability_diagram(self.bins[level], ax)
        ax.set_title(f"{self.taxonomy.levels[level]}: {ax.get_title()}")
        return fig, ax
