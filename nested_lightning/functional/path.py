"""The consistent path of a sample, and the confidence down to each of its nodes."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.combination import check_levels
from nested_lightning.taxonomy import Taxonomy


def consistent_path(
    log_probabilities: Sequence[Tensor], taxonomy: Taxonomy, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return one path per sample, from the most probable coarsest class down to the last node that is confident enough.

    Goes from each node to its most probable child and stops before the first node whose probability is below
    ``threshold``. The depth is 0 where even the coarsest class is not confident enough.

    Args:
        log_probabilities: combined log-probabilities ``[B, K_i]`` of the first levels, coarse to fine.
        taxonomy: the tree.
        threshold: lowest probability of a node on the path, in [0, 1]; 0 always goes to the last given level.

    Returns:
        The path's class indices, ``LongTensor[B, n_levels]``, -1 beyond the cut and at levels not given; its depth,
        ``LongTensor[B]``; and its confidence, ``[B]``: the probability of the deepest node kept, at depth 0 that of the
        best coarsest class.

    Raises:
        ConfigurationError: a threshold outside [0, 1], or levels that do not fit the taxonomy.
    """
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"the path threshold must be between 0 and 1, got {threshold}")
    nodes, log_confidences = _uncut_path(log_probabilities, taxonomy)
    confidence = log_confidences.exp()
    kept = (confidence >= threshold).cumprod(dim=1).bool()
    depth = kept.sum(dim=1)
    path = torch.full((len(nodes), taxonomy.n_levels), -1, dtype=torch.long, device=nodes.device)
    path[:, : nodes.shape[1]] = nodes.masked_fill(~kept, -1)
    return path, depth, confidence.gather(1, (depth - 1).clamp(min=0).unsqueeze(1)).squeeze(1)


def node_confidences(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> tuple[Tensor, Tensor]:
    """Return the uncut path of each sample and the log-confidence of each of its nodes.

    A cut ends a path for good, so the confidence of a node is the lowest one down to it. Cutting at a threshold keeps
    exactly the nodes whose confidence is at least the threshold.

    Args:
        log_probabilities: as in :func:`consistent_path`, of ``n`` levels.
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
    path, own = _uncut_path([level.detach() for level in log_probabilities], taxonomy)
    return path, own.cummin(dim=1).values


def levels_of(log_probabilities: Tensor | Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return one tensor ``[B, K_i]`` per level from those of the first levels, in a list or side by side in one tensor.

    Raises:
        ConfigurationError: the columns of the one tensor are not those of the first levels.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "jay"), ("fish", "cod")])
        >>> [tuple(level.shape) for level in levels_of(torch.zeros(4, 5), taxonomy)]
        [(4, 2), (4, 3)]
    """
    if not isinstance(log_probabilities, Tensor):
        return list(log_probabilities)
    ends = [0, *accumulate(taxonomy.sizes)]
    width = log_probabilities.shape[-1]
    if log_probabilities.ndim != 2 or width not in ends[1:]:
        raise ConfigurationError(
            f"log-probabilities of several levels in one tensor need {' or '.join(map(str, ends[1:]))} columns, the "
            f"classes of the levels {', '.join(taxonomy.levels)} side by side; got {tuple(log_probabilities.shape)}"
        )
    return list(log_probabilities.split(taxonomy.sizes[: ends.index(width)], dim=1))


def _uncut_path(levels: Sequence[Tensor], taxonomy: Taxonomy) -> tuple[Tensor, Tensor]:
    """Return the nodes ``[B, n]`` from the best coarsest class down to its best descendants, and their values."""
    check_levels(levels, taxonomy)
    nodes = [levels[0].argmax(dim=1)]
    for level, log_p in enumerate(levels[1:], start=1):
        child = taxonomy.parents(level, log_p.device) == nodes[-1].unsqueeze(1)
        # A child of probability 0 still comes before any other class.
        log_p = log_p.clamp(min=torch.finfo(log_p.dtype).min).masked_fill(~child, -torch.inf)
        nodes.append(log_p.argmax(dim=1))
    path = torch.stack(nodes, dim=1)
    return path, torch.cat([p.gather(1, node) for p, node in zip(levels, path.split(1, dim=1), strict=True)], dim=1)
