"""Rules that refine the levels' calibrated probabilities by one another, and the one answer read off them.

A rule takes per level, coarse to fine, log-probabilities ``[B, K_i]`` over the real classes, and the
taxonomy; it returns as many refined ones. Fewer levels than the taxonomy has is fine: the levels up to a
stage. A row may sum to less than one: the rest is the level's rejected mass.

===================  ==================================================  ==============================
rule                 refined probabilities                               rejected mass of the result
===================  ==================================================  ==============================
``nested``           Eq. 2, level after level                            the coarsest level's
``independent``      every level as it is                                each level's own
``coarse_and_fine``  Eq. 2 with the coarsest and the finest level alone  the coarsest level's
``sum_up``           sums of the finest level's                          the finest level's
``mean``             mean of all levels' opinions                        mean of the levels'
``product``          product of all levels' opinions, scaled             product of the levels', scaled
``hie``              product of a class's and its ancestors', scaled     product of the levels', scaled
``majority_vote``    share of the levels that agree, on the winner       share of the outvoted levels
===================  ==================================================  ==============================

An opinion of one level on another's classes (Appendix B): probabilities of a coarser level are spread equally
over the descendants at the finest given level, and from there summed up to the level wanted.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nested_lightning.errors import ConfigurationError, suggestion
from nested_lightning.taxonomy import Taxonomy

CombinationRule = Callable[[Sequence[Tensor], Taxonomy], list[Tensor]]


def nested(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Refine coarse to fine: P'(child) = P(child) / sum over its siblings * P'(parent) (Eq. 2, any depth).

    The coarsest level stays as it is and children always sum to their parent, so the rejected mass of the
    finer levels is divided away and the coarsest level's governs all. Where all siblings have probability
    0, the parent's is shared equally.
    """
    _check(log_probabilities, taxonomy)
    refined = [log_probabilities[0]]
    for level, own in enumerate(log_probabilities[1:], start=1):
        refined.append(_share(refined[-1], own, taxonomy.parents(level, own.device)))
    return refined


def independent(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return every level's own probabilities: no combination."""
    _check(log_probabilities, taxonomy)
    return list(log_probabilities)


def coarse_and_fine(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Apply Eq. 2 to the coarsest and the finest given level alone (HD-CNN; "Coarse & Fine" in Table B.1).

    The coarsest level stays as it is; a level in between is the sum of the refined finest one.
    """
    _check(log_probabilities, taxonomy)
    finest = len(log_probabilities) - 1
    if finest == 0:
        return list(log_probabilities)
    own = log_probabilities[finest]
    fine = _share(log_probabilities[0], own, taxonomy.ancestors(finest, 0, own.device))
    between = [sum_to(fine, taxonomy, finest, level) for level in range(1, finest)]
    return [log_probabilities[0], *between, fine]


def sum_up(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the sums of the finest given level's probabilities (the end-to-end baseline)."""
    _check(log_probabilities, taxonomy)
    finest = len(log_probabilities) - 1
    return [sum_to(log_probabilities[finest], taxonomy, finest, level) for level in range(finest + 1)]


def mean(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the mean of all levels' opinions (Appendix B).

    With rejection as one more class, on which every level has an opinion too, this sums to one as it is.
    Children sum to their parent.
    """
    _check(log_probabilities, taxonomy)
    n_levels = len(log_probabilities)
    return [
        torch.logsumexp(_opinions(log_probabilities, taxonomy, level), dim=0).sub(math.log(n_levels)).clamp(max=0)
        for level in range(n_levels)
    ]


def product(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the product of all levels' opinions, scaled to sum to one (Appendix B).

    Rejection is one more class in product and sum, and is then dropped as everywhere. Where the levels rule
    out each other's classes so that every product is 0, all real classes are equally probable.
    """
    _check(log_probabilities, taxonomy)
    rejected = torch.stack([_log_rejected(level) for level in log_probabilities]).sum(dim=0)
    refined = []
    for level in range(len(log_probabilities)):
        refined.append(_scaled(_opinions(log_probabilities, taxonomy, level).sum(dim=0), rejected))
    return refined


def hie(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the product of a class's own and its ancestors' probabilities, scaled to sum to one.

    Known as hierarchical ensembles (Jain, Karthik and Gandhi, "Test-time amendment with a coarse classifier", 2023).
    Unlike :func:`product` the finer levels say nothing about the coarser ones, and a class is not at a disadvantage
    for having many siblings. Rejection is one more class in product and sum, as there.
    """
    _check(log_probabilities, taxonomy)
    refined, product_, rejected = [log_probabilities[0]], log_probabilities[0], _log_rejected(log_probabilities[0])
    for level, own in enumerate(log_probabilities[1:], start=1):
        product_ = product_[:, taxonomy.parents(level, own.device)] + own
        rejected = rejected + _log_rejected(own)
        refined.append(_scaled(product_, rejected))
    return refined


def majority_vote(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the class that most levels vote for (Appendix B).

    Every given level has one vote, for its most probable class: at finer levels it counts for all of that
    class's descendants, at coarser ones for its ancestor. Ties go to the class the level itself finds more
    probable, then to the first. The winner's probability is the share of levels that voted for it, every
    other class has 0: votes are decisions, and carry no confidence beyond that.
    """
    _check(log_probabilities, taxonomy)
    favourites = [level.argmax(dim=1) for level in log_probabilities]
    refined = []
    for level, own in enumerate(log_probabilities):
        votes = torch.stack([_votes(f, voter, level, taxonomy) for voter, f in enumerate(favourites)]).sum(dim=0)
        # Half a vote at most: breaks ties and nothing else.
        winner = (votes + own.exp() / 2).argmax(dim=1, keepdim=True)
        share = votes.gather(1, winner).to(own.dtype) / len(favourites)
        refined.append(torch.full_like(own, -torch.inf).scatter(1, winner, share.log()))
    return refined


COMBINATIONS: dict[str, CombinationRule] = {
    "nested": nested,
    "independent": independent,
    "coarse_and_fine": coarse_and_fine,
    "sum_up": sum_up,
    "mean": mean,
    "product": product,
    "hie": hie,
    "majority_vote": majority_vote,
}


def get_combination(rule: str | CombinationRule) -> CombinationRule:
    """Return the rule of that name, or the rule itself if it is a function.

    Raises:
        ConfigurationError: no rule has this name.

    Example:
        >>> get_combination("nested").__name__
        'nested'
    """
    if callable(rule):
        return rule
    if rule not in COMBINATIONS:
        raise ConfigurationError(
            f"{rule!r} is no combination rule; known are {', '.join(COMBINATIONS)}, or pass a function."
            f"{suggestion(rule, COMBINATIONS)}"
        )
    return COMBINATIONS[rule]


def consistent_path(
    log_probabilities: Sequence[Tensor], taxonomy: Taxonomy, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return one path per row, from the most probable coarsest class down to the last sure enough node.

    Goes from each node to its most probable child and stops before the first node whose probability is
    below ``threshold``. Nothing may be sure enough: depth 0.

    Args:
        log_probabilities: refined log-probabilities per level, ``[B, K_i]``.
        taxonomy: the tree.
        threshold: lowest probability of a node on the path, in [0, 1]; 0 always goes to the last given level.

    Returns:
        The path's class indices, ``LongTensor[B, n_levels]``, -1 beyond the cut and at levels not given; its
        depth, ``LongTensor[B]``; and its confidence, ``[B]``: the probability of the deepest node kept, at
        depth 0 that of the best coarsest class, which was not sure enough.

    Raises:
        ConfigurationError: a threshold outside [0, 1], or levels that do not fit the taxonomy.
    """
    _check(log_probabilities, taxonomy)
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"the threshold of a path is a probability between 0 and 1; got {threshold}")
    node = log_probabilities[0].argmax(dim=1)
    nodes, confidences = [node], [log_probabilities[0].gather(1, node.unsqueeze(1))]
    for level, log_p in enumerate(log_probabilities[1:], start=1):
        child = taxonomy.parents(level, node.device) == node.unsqueeze(1)
        # Even a child of probability 0 goes before a stranger.
        node = log_p.clamp(min=torch.finfo(log_p.dtype).min).masked_fill(~child, -torch.inf).argmax(dim=1)
        nodes.append(node)
        confidences.append(log_p.gather(1, node.unsqueeze(1)))
    confidence = torch.cat(confidences, dim=1).exp()
    kept = (confidence >= threshold).cumprod(dim=1).bool()
    depth = kept.sum(dim=1)
    path = torch.full((len(node), taxonomy.n_levels), -1, dtype=torch.long, device=node.device)
    path[:, : len(nodes)] = torch.stack(nodes, dim=1).masked_fill(~kept, -1)
    return path, depth, confidence.gather(1, (depth - 1).clamp(min=0).unsqueeze(1)).squeeze(1)


def _check(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy) -> None:
    """Raise unless every given level has one column per class of the taxonomy."""
    if not 1 <= len(log_probabilities) <= taxonomy.n_levels:
        raise ConfigurationError(
            f"a combination needs log-probabilities of 1 to {taxonomy.n_levels} levels "
            f"({', '.join(taxonomy.levels)}); got {len(log_probabilities)}"
        )
    for name, size, log_p in zip(taxonomy.levels, taxonomy.sizes, log_probabilities, strict=False):
        if log_p.ndim != 2 or log_p.shape[1] != size:
            raise ConfigurationError(
                f"level {name!r} has {size} classes, so its log-probabilities must be [B, {size}]; got "
                f"{tuple(log_p.shape)}. The rejection column is no class: "
                "nested_lightning.functional.calibration.log_probabilities drops it"
            )


def _share(parent: Tensor, log_p: Tensor, groups: Tensor) -> Tensor:
    """Return the parents' log-probabilities ``[B, G]`` shared among their children like ``log_p`` (Eq. 2)."""
    total = _log_sum(log_p, groups, parent.shape[1])[:, groups]
    equal = -groups.bincount(minlength=parent.shape[1])[groups].to(log_p.dtype).log()
    return parent[:, groups] + torch.where(total.isneginf(), equal, log_p - total)


def _log_sum(log_p: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Return the log of the sum of probabilities per group, ``[B, K]`` to ``[B, n_groups]``."""
    top = log_p.new_full((len(log_p), n_groups), -torch.inf)
    top = top.scatter_reduce(1, groups.expand_as(log_p), log_p, "amax")
    # A group of zeros has top = -inf, and -inf - -inf is nan: subtract the lowest finite number instead.
    top = top.clamp(min=torch.finfo(log_p.dtype).min)
    return torch.zeros_like(top).index_add(1, groups, (log_p - top[:, groups]).exp()).log() + top


def sum_to(log_p: Tensor, taxonomy: Taxonomy, level: int, to: int) -> Tensor:
    """Return the log-probabilities ``[B, K_level]`` summed up to the coarser (or same) level ``to``, ``[B, K_to]``."""
    groups = taxonomy.ancestors(level, to, log_p.device)
    return _log_sum(log_p, groups, taxonomy.sizes[to]).clamp(max=0)


def _opinions(log_probabilities: Sequence[Tensor], taxonomy: Taxonomy, to: int) -> Tensor:
    """Return what each given level says about the classes of level ``to``: ``[n, B, K_to]``."""
    finest = len(log_probabilities) - 1
    opinions = []
    for level, log_p in enumerate(log_probabilities):
        groups = taxonomy.ancestors(finest, level, log_p.device)
        descendants = groups.bincount(minlength=log_p.shape[1]).to(log_p.dtype)
        opinions.append(sum_to((log_p - descendants.log())[:, groups], taxonomy, finest, to))
    return torch.stack(opinions)


def _log_rejected(log_p: Tensor) -> Tensor:
    """Return the log of one minus the row sums, ``[B, 1]``; a rest within rounding of 0 is 0."""
    rest = 1 - log_p.exp().sum(dim=1, keepdim=True)
    return rest.where(rest > log_p.shape[1] * torch.finfo(log_p.dtype).eps, 0).log()


def _scaled(products: Tensor, rejected: Tensor) -> Tensor:
    """Return log-products ``[B, K]`` scaled to sum to one with ``rejected`` ``[B, 1]``; all 0: equally probable."""
    scaled = torch.cat([products, rejected], dim=1).log_softmax(dim=1)[:, :-1]
    return scaled.masked_fill(scaled.isnan(), -math.log(scaled.shape[1]))


def _votes(favourite: Tensor, voter: int, level: int, taxonomy: Taxonomy) -> Tensor:
    """Return whether the favourite of level ``voter``, ``[B]``, is a vote for each class of ``level``."""
    meeting = min(voter, level)
    voted = taxonomy.ancestors(voter, meeting, favourite.device)[favourite]
    return taxonomy.ancestors(level, meeting, favourite.device) == voted.unsqueeze(1)
