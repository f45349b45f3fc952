"""Rules that combine the levels' calibrated probabilities, and the way from logits to combined log-probabilities.

A rule takes log-probabilities ``[B, K_i]`` over the real classes per level, coarse to fine, and the taxonomy; it
returns as many refined ones. Fewer levels than the taxonomy has are those up to a stage. Where probabilities sum to
less than one, the rest is the level's rejected mass.

===================  ==================================================  ==============================
rule                 refined probabilities                               rejected mass of the result
===================  ==================================================  ==============================
``nested``           Eq. 2, level after level                            the coarsest level's
``independent``      every level unchanged                               each level's own
``coarse_and_fine``  Eq. 2 with the coarsest and the finest level alone  the coarsest level's
``sum_up``           sums of the finest level's                          the finest level's
``mean``             mean of all levels' opinions                        mean of the levels'
``product``          product of all levels' opinions, scaled             product of the levels', scaled
``hie``              product of a class's and its ancestors', scaled     product of the levels', scaled
``majority_vote``    share of the levels that agree, on the winner       share of the outvoted levels
===================  ==================================================  ==============================

A level's opinion on another level's classes (Appendix B): probabilities of a coarser level are spread equally over the
descendants at the finest given level, and from there summed up to the level wanted.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nested_lightning.errors import ConfigurationError, suggestion
from nested_lightning.functional.calibration import log_probabilities
from nested_lightning.taxonomy import Taxonomy

CombinationRule = Callable[[Sequence[Tensor], Taxonomy], list[Tensor]]


def nested(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Refine coarse to fine: P'(child) = P(child) / sum over its siblings * P'(parent) (Eq. 2, any depth).

    The coarsest level is unchanged and children always sum to their parent, so the rejected mass of the finer levels
    is divided away and that of the coarsest applies to all. Where all siblings have probability 0, they share their
    parent's equally.
    """
    check_levels(levels, taxonomy)
    refined = [levels[0]]
    for level, own in enumerate(levels[1:], start=1):
        refined.append(_share(refined[-1], own, taxonomy.parents(level, own.device)))
    return refined


def independent(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return every level unchanged: no combination."""
    check_levels(levels, taxonomy)
    return list(levels)


def coarse_and_fine(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Apply Eq. 2 to the coarsest and the finest given level alone (HD-CNN; "Coarse & Fine" in Table B.1).

    The coarsest level is unchanged; levels in between are sums of the refined finest one.
    """
    check_levels(levels, taxonomy)
    finest = len(levels) - 1
    if finest == 0:
        return list(levels)
    own = levels[finest]
    fine = _share(levels[0], own, taxonomy.ancestors(finest, 0, own.device))
    between = [sum_to(fine, taxonomy, finest, level) for level in range(1, finest)]
    return [levels[0], *between, fine]


def sum_up(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the sums of the finest given level's probabilities (the end-to-end baseline)."""
    check_levels(levels, taxonomy)
    finest = len(levels) - 1
    return [sum_to(levels[finest], taxonomy, finest, level) for level in range(finest + 1)]


def mean(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the mean of all levels' opinions (Appendix B).

    Rejection counts as one more class, on which every level has an opinion. Children sum to their parent.
    """
    check_levels(levels, taxonomy)
    n_levels = len(levels)
    return [
        torch.logsumexp(_opinions(levels, taxonomy, level), dim=0).sub(math.log(n_levels)).clamp(max=0)
        for level in range(n_levels)
    ]


def product(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the product of all levels' opinions, scaled to sum to one (Appendix B).

    Rejection counts as one more class and is then dropped. Where every product is 0, because the levels exclude each
    other's classes, all real classes are equally probable.
    """
    check_levels(levels, taxonomy)
    rejected = torch.stack([_log_rejected(level) for level in levels]).sum(dim=0)
    return [_scaled(_opinions(levels, taxonomy, level).sum(dim=0), rejected) for level in range(len(levels))]


def hie(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the product of a class's own and its ancestors' probabilities, scaled to sum to one.

    Known as hierarchical ensembles (Jain, Karthik and Gandhi, "Test-time amendment with a coarse classifier", 2023).
    Unlike in :func:`product`, finer levels do not affect coarser ones, and having many siblings is no disadvantage for
    a class. Rejection is treated as there.
    """
    check_levels(levels, taxonomy)
    refined, product_, rejected = [levels[0]], levels[0], _log_rejected(levels[0])
    for level, own in enumerate(levels[1:], start=1):
        product_ = product_[:, taxonomy.parents(level, own.device)] + own
        rejected = rejected + _log_rejected(own)
        refined.append(_scaled(product_, rejected))
    return refined


def majority_vote(levels: Sequence[Tensor], taxonomy: Taxonomy) -> list[Tensor]:
    """Return at every level the class that most levels vote for (Appendix B).

    Every given level has one vote, for its most probable class: at finer levels it counts for all of that class's
    descendants, at coarser ones for its ancestor. Ties go to the class that is more probable at the level itself, then
    to the first. The winner's probability is the share of levels that voted for it; all other classes have 0.
    """
    check_levels(levels, taxonomy)
    favourites = [level.argmax(dim=1) for level in levels]
    refined = []
    for level, own in enumerate(levels):
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
    """Return the rule of that name, or ``rule`` itself if it is a function; an unknown name is a ConfigurationError."""
    if callable(rule):
        return rule
    if rule not in COMBINATIONS:
        raise ConfigurationError(
            f"unknown combination rule {rule!r}. Choose from {', '.join(COMBINATIONS)}, or pass a function."
            f"{suggestion(rule, COMBINATIONS)}"
        )
    return COMBINATIONS[rule]


def finest_by_temperature(
    rule: CombinationRule, coarser: Sequence[Tensor], logits: Tensor, taxonomy: Taxonomy
) -> Callable[[float], Tensor]:
    """Return a function from a level's temperature to its combined log-probabilities ``[B, K]``.

    For the rule ``nested``, all that does not depend on the temperature is computed once.

    Args:
        rule: combines the levels.
        coarser: calibrated log-probabilities ``[B, K_i]`` of all coarser levels, before combination.
        logits: ``[B, K + 1]`` of the level, the rejection logit last; the others are finite.
        taxonomy: the tree.
    """
    if rule is not nested or not coarser:
        return lambda temperature: rule([*coarser, log_probabilities(logits, temperature)], taxonomy)[-1]
    parent, own = nested(coarser, taxonomy)[-1], logits[:, :-1]
    groups = taxonomy.parents(len(coarser), own.device)
    columns = groups.expand_as(own)
    # Eq. 2 divides by the sum over siblings, so their logits may be shifted: no softmax over the level is needed, and
    # with the largest at 0 no exponential overflows.
    largest = torch.full_like(parent, -torch.inf).scatter_reduce(1, columns, own, "amax")
    shifted = own - largest.gather(1, columns)

    def combined(temperature: float) -> Tensor:
        scaled = shifted / temperature
        total = torch.zeros_like(parent).index_add(1, groups, scaled.exp())
        return scaled + (parent - total.log()).gather(1, columns)

    return combined


def check_levels(levels: Sequence[Tensor], taxonomy: Taxonomy) -> None:
    """Raise ConfigurationError unless every given level has one column per class of the taxonomy."""
    if not 1 <= len(levels) <= taxonomy.n_levels:
        raise ConfigurationError(
            f"expected log-probabilities for 1 to {taxonomy.n_levels} levels ({', '.join(taxonomy.levels)}), got "
            f"{len(levels)} tensors: pass one tensor [B, classes] per level, coarse to fine"
        )
    for name, size, log_p in zip(taxonomy.levels, taxonomy.sizes, levels, strict=False):
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


def _opinions(levels: Sequence[Tensor], taxonomy: Taxonomy, to: int) -> Tensor:
    """Return what each given level says about the classes of level ``to``: ``[n, B, K_to]``."""
    finest = len(levels) - 1
    opinions = []
    for level, log_p in enumerate(levels):
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
