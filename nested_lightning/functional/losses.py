"""Losses over several levels: a masked, weighted sum of cross-entropies (Sec. 4.3 and 5), and a marginal likelihood."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.combination import sum_to
from nested_lightning.taxonomy import Taxonomy

Criterion = Callable[[Sequence[Tensor], Tensor, Taxonomy], Tensor]
"""A loss of logits per level, coarse to fine, ``[B, K_i + 1]``, and a target ``[B, n_levels]``: a scalar."""


def nested_loss(
    logits: Sequence[Tensor], target: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the weighted sum of the levels' cross-entropies, divided by the batch size.

    This is ``1/B * sum_j sum_i alpha_i * known_ij * CE_ij``: the batch loss of Sec. 5 ("Training with nested data") per
    sample. Where every sample is known at every given level it equals the stage loss of Sec. 4.3.

    Dividing by the batch size, not by the number of known labels, gives a level the weight in a batch that its labels
    have in the data; ``weights`` then corrects for rare levels. A level without a known label adds an exact 0 with zero
    gradients, so its parameters still take part in the backward pass, as DistributedDataParallel requires.

    Args:
        logits: per level, coarse to fine, ``[B, K_i + 1]``; the last column is the rejection logit, which may be
            ``-inf``. With fewer levels than ``target`` has, the finer ones are ignored.
        target: ``LongTensor[B, n_levels]``, -1 = not known at this level.
        weights: alpha_i, ``[n]`` with at least ``len(logits)`` entries; ``None`` = 1 for every level.
        label_smoothing: in [0, 1), the part of a label that is spread evenly over the level's real classes (Szegedy et
            al. 2016).

    Returns:
        A differentiable scalar, in nats; 0 for an empty batch.

    Raises:
        DataError: ``target`` does not fit the logits.
        ConfigurationError: fewer weights than levels.

    Example:
        >>> logits = [torch.zeros(2, 3), torch.zeros(2, 5)]
        >>> nested_loss(logits, torch.tensor([[0, 1], [1, -1]]))  # log(3) + log(5) / 2
        tensor(1.9033)
    """
    losses = level_losses(logits, target, label_smoothing)
    if weights is None:
        return losses.sum()
    if weights.numel() < len(losses):
        raise ConfigurationError(
            f"the loss has {weights.numel()} weights, but got logits of {len(losses)} levels: give one weight per level"
        )
    return (losses * weights[: len(losses)].to(losses)).sum()


def level_losses(logits: Sequence[Tensor], target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the terms of :func:`nested_loss` before weighting, one per level; arguments and errors as there.

    Returns:
        ``[len(logits)]``: the cross-entropies of the level's known samples, summed and divided by the batch size.
    """
    if not logits:
        raise DataError("the loss got logits of no level at all; expected one [B, K + 1] tensor per level")
    _check_target(logits, target)
    sums = [_smoothed(z, target[:, level], label_smoothing) for level, z in enumerate(logits)]
    return torch.stack(sums) / max(len(target), 1)


def marginal_loss(logits: Sequence[Tensor], target: Tensor, taxonomy: Taxonomy) -> Tensor:
    """Return the marginal negative log-likelihood, which trains a finest-level classifier on coarse labels too.

    A sample labelled to some node belongs to one of the finest classes below it: its loss is minus the log of their
    summed probability, which for a label of the finest level is the cross-entropy. No heads for coarser levels are
    needed; of ``logits`` only the finest are used.

    Args:
        logits: as in :func:`nested_loss`.
        target: as in :func:`nested_loss`; samples without any label count as 0.
        taxonomy: the tree.

    Returns:
        The mean over the batch, a differentiable scalar, in nats; 0 for an empty batch.

    Raises:
        DataError: ``target`` does not fit the logits.

    Example:
        >>> taxonomy = Taxonomy(["kind", "species"], [("bird", "owl"), ("bird", "eagle"), ("fish", "cod")])
        >>> logits = [torch.zeros(1, 3), torch.zeros(1, 4)]
        >>> marginal_loss(logits, torch.tensor([[0, -1]]), taxonomy)  # a bird: -log(2/3)
        tensor(0.4055)
    """
    _check_target(logits, target)
    finest = len(logits) - 1
    log_p = logits[finest][:, :-1].log_softmax(dim=1)
    depth = (target[:, : finest + 1] >= 0).sum(dim=1)
    total = log_p.sum() * 0  # a batch without labels takes part in the backward pass, too
    for level in range(finest + 1):
        ends_here = depth == level + 1
        nodes = sum_to(log_p[ends_here], taxonomy, finest, level)
        total = total - nodes.gather(1, target[ends_here, level : level + 1]).sum()
    return total / max(len(target), 1)


def inverse_frequency_weights(counts: Sequence[int]) -> list[float]:
    """Return weights alpha_i inversely proportional to the labels per level, the coarsest being 1 (Sec. 5).

    A level without any label gets 0: it has no term in the loss, and no weight can compensate for that.

    Args:
        counts: per level, coarse to fine, the number of samples whose label is known at that level.

    Raises:
        DataError: no sample is labelled at the coarsest level, or a count is negative.

    Example:
        >>> inverse_frequency_weights([18000, 12000, 6000])
        [1.0, 1.5, 3.0]
    """
    if not counts or counts[0] < 1 or min(counts) < 0:
        raise DataError(
            "weights for the levels need the number of labelled samples per level, at least 1 at the coarsest; "
            f"got {list(counts)}"
        )
    return [counts[0] / count if count else 0.0 for count in counts]


def _check_target(logits: Sequence[Tensor], target: Tensor) -> None:
    batch = logits[0].shape[0]
    if target.ndim != 2 or target.shape[0] != batch or target.shape[1] < len(logits):
        raise DataError(
            f"the target is {tuple(target.shape)}, but got logits of {len(logits)} levels and {batch} samples: "
            f"expected ({batch}, {len(logits)}) or more columns, class indices or -1 for unknown"
        )


def _smoothed(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Return the summed cross-entropy; the part of the labels that is spread evenly excludes the rejection logit."""
    loss = (1 - label_smoothing) * cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    if label_smoothing:
        loss = loss - label_smoothing * logits[labels >= 0, :-1].log_softmax(1).mean(1).sum()
    return loss
