"""Hierarchical precision, recall and F1: the nodes of an answer against the nodes of the truth."""

import torch
from torch import Tensor

from nested_lightning.functional.reliability import ACCUMULATOR
from nested_lightning.metrics.path import PathMetric, check_paths


def shared_nodes(path: Tensor, target: Tensor) -> Tensor:
    """Count the nodes of paths, at the levels that are known.

    Args:
        path: ``LongTensor[B, n]``, a class index per level; -1 = no answer, as below the depth of a cut path.
        target: ``LongTensor[B, n]``, -1 = not known: whatever is answered there is not counted.

    Returns:
        ``[3]``: nodes that are in both, nodes answered, nodes of the truth.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> shared_nodes(torch.tensor([[0, 1, -1], [1, 2, 3]]), torch.tensor([[0, 1, 2], [1, 0, -1]])).tolist()
        [3.0, 4.0, 5.0]
    """
    check_paths(path, target)
    known = target >= 0
    sums = [(known & (path == target)).sum(), (known & (path >= 0)).sum(), known.sum()]
    return torch.stack(sums).to(ACCUMULATOR)


class HierarchicalPrecision(PathMetric):
    """Share of the answered nodes that are right, over all rows (micro); nan when none was answered.

    A path that is cut early answers fewer nodes. Levels whose target is not known are left out.

    Example:
        >>> metric = HierarchicalPrecision()
        >>> metric.update(torch.tensor([[0, -1], [1, 3]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.6667, dtype=torch.float64)
    """

    higher_is_better = True

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`shared_nodes`."""
        self.counts = self.counts + shared_nodes(predictions, target)[[0, 1]]


class HierarchicalRecall(PathMetric):
    """Share of the true nodes that are answered, over all rows (micro); nan when none was known.

    Example:
        >>> metric = HierarchicalRecall()
        >>> metric.update(torch.tensor([[0, -1], [1, 3]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`shared_nodes`."""
        self.counts = self.counts + shared_nodes(predictions, target)[[0, 2]]


class HierarchicalF1(PathMetric):
    """Harmonic mean of hierarchical precision and recall; 0 when nothing was answered, nan when nothing was known.

    Example:
        >>> metric = HierarchicalF1()
        >>> metric.update(torch.tensor([[0, -1], [1, 3]]), torch.tensor([[0, 1], [1, 2]]))
        >>> metric.compute()
        tensor(0.5714, dtype=torch.float64)
    """

    higher_is_better = True

    def update(self, predictions: Tensor, target: Tensor) -> None:
        """Add a batch; arguments and errors as in :func:`shared_nodes`."""
        right, answered, true = shared_nodes(predictions, target)
        self.counts = self.counts + torch.stack([2 * right, answered + true])
