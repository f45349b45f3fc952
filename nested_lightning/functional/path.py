"""The one consistent path of a row, with the threshold up to which each of its nodes is answered."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nested_lightning.functional.combination import consistent_path
from nested_lightning.taxonomy import Taxonomy


def node_confidences(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> tuple[Tensor, Tensor]:
    """Return the uncut path of each row and the log-confidence of each node.

    A path that is cut ends for good, so a node is as sure as the least sure one down to it. Cutting at a threshold
    keeps exactly the nodes whose confidence is at least that.

    Args:
        log_probabilities: ``[B, K_i]`` for the first ``n`` levels, coarse to fine.
        taxonomy: the tree.

    Returns:
        The classes, ``LongTensor[B, n]``, and the logarithms of their confidences, ``[B, n]``.

    Raises:
        ConfigurationError: levels that do not fit the taxonomy.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")])
        >>> kind, species = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.25, 0.25]])
        >>> path, log_confidence = node_confidences([kind.log(), species.log()], taxonomy)
        >>> path.tolist(), log_confidence.exp().tolist()
        ([[0, 0]], [[0.75, 0.5]])
    """
    path = consistent_path(log_probabilities, taxonomy, threshold=0)[0][:, : len(log_probabilities)]
    columns = zip(log_probabilities, path.split(1, dim=1), strict=True)
    own = torch.cat([log_p.detach().gather(1, nodes) for log_p, nodes in columns], dim=1)
    return path, own.cummin(dim=1).values
