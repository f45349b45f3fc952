"""Area under the risk-coverage curve, of one level and of paths that are cut."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from nested_lightning.functional.path import node_confidences
from nested_lightning.functional.reliability import check_level
from nested_lightning.functional.selective import BINS, area_of, risk_histogram
from nested_lightning.taxonomy import Taxonomy


class CoverageMetric(Metric):
    """Base of the areas under risk-coverage curves: answers counted per bin of the log-odds of their confidence.

    The state has the same size whatever the number of rows. Answers in one bin are taken as equally confident: on test
    rows by the thousand that changes the area by about one percent of itself.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    counts: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(BINS, 2, dtype=torch.long), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """Return a scalar in [0, 1], or nan."""
        return area_of(self.counts)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the risk-coverage curve of what was seen, or, like other metrics, the given values.

        Args:
            val: one value or several; ``None`` for the curve.
            ax: matplotlib axes to draw on.

        Returns:
            matplotlib's ``(fig, ax)``.
        """
        from nested_lightning.figures import risk_coverage_diagram  # which draws with matplotlib, and is above this

        return risk_coverage_diagram({"answers": self.counts}, ax) if val is None else self._plot(val, ax)


class LevelAURC(CoverageMetric):
    """Area under the risk-coverage curve of one level, over the known rows; nan when no row was known.

    Exact functional form: :func:`nested_lightning.functional.selective.area_under_risk_coverage`.

    Example:
        >>> metric = LevelAURC()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, -1]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def update(self, probabilities: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            probabilities: ``[B, K]`` in [0, 1], over the real classes.
            target: ``LongTensor[B]``, -1 = not known, ignored.

        Raises:
            DataError: shapes that do not fit.
        """
        check_level(probabilities, target)
        confidence, answer = probabilities.max(dim=1)
        self.counts = self.counts + risk_histogram(confidence.log(), answer == target, target >= 0)


class PathAURC(CoverageMetric):
    """Area under the risk-coverage curve of cut paths; nan when no level of any row was known.

    Every node of every row's path is an answer, kept while the threshold of the cut is at most its confidence. Risk is
    the share of wrong nodes among those kept. Nodes at levels that are not known are left out.

    Args:
        taxonomy: the tree.
        **kwargs: passed to ``torchmetrics.Metric``.

    Example:
        >>> metric = PathAURC(Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")]))
        >>> kind, species = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.25, 0.25]])
        >>> metric.update([kind.log(), species.log()], torch.tensor([[0, 1]]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def __init__(self, taxonomy: Taxonomy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taxonomy = taxonomy

    def update(self, log_probabilities: Sequence[Tensor], target: Tensor) -> None:
        """Add a batch.

        Args:
            log_probabilities: ``[B, K_i]`` for the first levels, coarse to fine.
            target: ``LongTensor[B, n_levels]``, -1 = not known, ignored.

        Raises:
            ConfigurationError: levels that do not fit the taxonomy.
        """
        path, log_confidence = node_confidences(log_probabilities, self.taxonomy)
        target = target[:, : path.shape[1]]
        self.counts = self.counts + risk_histogram(log_confidence, path == target, target >= 0)
