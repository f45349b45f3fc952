"""Area under the risk-coverage curve, of one level and of paths that are cut."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nested_lightning.functional.path import levels_of, node_confidences
from nested_lightning.functional.reliability import check_level
from nested_lightning.functional.selective import BINS, area_of, risk_histogram
from nested_lightning.metrics.level import SumMetric
from nested_lightning.taxonomy import Taxonomy


class CoverageMetric(SumMetric):
    """Base of the areas under risk-coverage curves: predictions counted per bin of the log-odds of their confidence.

    Predictions in one bin count as equally confident: with thousands of samples that changes the area by about one
    percent of its value.
    """

    higher_is_better = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(torch.zeros(BINS, 2, dtype=torch.long), **kwargs)

    def compute(self) -> Tensor:
        """Return the area under the risk-coverage curve, a scalar in [0, 1]; nan if no label is known."""
        return area_of(self.sums)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw the risk-coverage curve of the samples so far, or the values given; returns ``(fig, ax)``."""
        from nested_lightning.figures import risk_coverage_diagram  # imports matplotlib

        return risk_coverage_diagram({"predictions": self.sums}, ax) if val is None else super().plot(val, ax)


class LevelAURC(CoverageMetric):
    """Area under the risk-coverage curve of one level, over the known samples; nan when none was known.

    Exact functional form: :func:`nested_lightning.functional.selective.area_under_risk_coverage`.

    Example:
        >>> metric = LevelAURC()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, -1]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :meth:`LevelMetric.update`."""
        check_level(preds, target)
        confidence, predicted = preds.max(dim=1)
        self._add(risk_histogram(confidence.log(), predicted == target, target >= 0))


class PathAURC(CoverageMetric):
    """Area under the risk-coverage curve of cut paths; nan when no level of any sample was known.

    Every node of every path is a prediction, kept while the threshold of the cut is at most its confidence. The risk is
    the share of incorrect nodes among those kept. Nodes at unknown levels are left out.

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

    def update(self, preds: Tensor | Sequence[Tensor], target: Tensor) -> None:
        """Add a batch.

        Args:
            preds: log-probabilities ``[B, K_i]`` for the first levels, coarse to fine, or the same side by side in one
                tensor, as ``torchmetrics.wrappers.BootStrapper`` needs them.
            target: ``LongTensor[B, n_levels]``, -1 = not known, ignored.

        Raises:
            ConfigurationError: levels that do not fit the taxonomy.
        """
        path, log_confidence = node_confidences(levels_of(preds, self.taxonomy), self.taxonomy)
        target = target[:, : path.shape[1]]
        self._add(risk_histogram(log_confidence, path == target, target >= 0))
