"""Risk against coverage: how wrong the answers are that stay when the least confident ones are withheld."""

import torch
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import ACCUMULATOR

BINS = 10_000
"""Number of bins of a histogram of confidences; rejection crowds those of a good model into less than one log-odd."""

LIMIT = 20.0
"""Log-odds at which the histogram ends on either side: those of the float32 below 1 are 16.6."""


def risk_coverage(confidence: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return the risk-coverage curve, from the most confident answer alone to all answers.

    Answers of equal confidence have no order: each counts as wrong as they are on average, which is what a random order
    among them gives on average. So the order of the rows does not matter.

    Args:
        confidence: ``[N]``, on any scale that grows with certainty.
        right: ``BoolTensor[N]``.

    Returns:
        ``coverage [N]``, the share of answers kept: 1/N, 2/N, ..., 1; and ``risk [N]``, the share of wrong ones among
        those kept.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> coverage, risk = risk_coverage(torch.tensor([0.6, 0.9, 0.6, 0.8]), torch.tensor([False, True, True, True]))
        >>> coverage.tolist(), [round(r, 3) for r in risk.tolist()]
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.167, 0.25])
    """
    wrong, answers = _from_the_surest(_tied(confidence, right))
    kept = torch.arange(1, int(answers.sum()) + 1, device=confidence.device)
    tie = torch.arange(len(answers), device=confidence.device).repeat_interleave(answers)
    of_tie = (kept - (answers.cumsum(0) - answers)[tie]).to(ACCUMULATOR) / answers[tie]
    errors = (wrong.cumsum(0) - wrong)[tie] + wrong[tie] * of_tie
    return kept.to(ACCUMULATOR) / len(kept), errors / kept


def area_under_risk_coverage(confidence: Tensor, right: Tensor) -> Tensor:
    """Return the mean of the risk over all coverages (AURC); smaller is better.

    It is 0 where all answers are right, and the error rate where the confidence tells nothing.

    Args:
        confidence: as in :func:`risk_coverage`.
        right: as in :func:`risk_coverage`.

    Returns:
        A scalar in [0, 1]; nan when there is no answer.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> area_under_risk_coverage(torch.tensor([0.9, 0.8]), torch.tensor([True, False]))
        tensor(0.2500, dtype=torch.float64)
    """
    return area_of(_tied(confidence, right))


def risk_histogram(log_confidence: Tensor, right: Tensor, known: Tensor) -> Tensor:
    """Count wrong and right answers per bin of confidence; adding up is merging.

    The bins have equal width in log-odds, so that confidences close to 1 are told apart. Integers are counted, which
    gives the same bits on every run, on a GPU too.

    Args:
        log_confidence: logarithms of confidences, any shape.
        right: bool, same shape.
        known: bool, same shape; the others are not counted.

    Returns:
        ``LongTensor[BINS, 2]``, from the least to the most confident: wrong answers, right answers.

    Example:
        >>> confidence, right = torch.tensor([0.8, 0.8, 1.0]), torch.tensor([True, False, True])
        >>> counts = risk_histogram(confidence.log(), right, known=torch.tensor([True, True, True]))
        >>> counts[counts.sum(dim=1) > 0].tolist()
        [[1, 1], [0, 1]]
    """
    log_p = log_confidence.detach().to(ACCUMULATOR).clamp(max=0)
    log_odds = (log_p - (-torch.expm1(log_p)).log()).nan_to_num(nan=-LIMIT).clamp(-LIMIT, LIMIT)
    place = ((log_odds + LIMIT) * (BINS / (2 * LIMIT))).long().clamp(max=BINS - 1)
    # Not bincount of the known ones: that would wait for the device with every batch.
    empty = torch.zeros(2 * BINS, dtype=torch.long, device=place.device)
    return empty.index_add(0, (2 * place + right).flatten(), known.flatten().long()).reshape(BINS, 2)


def area_of(counts: Tensor) -> Tensor:
    """Return the area under the risk-coverage curve.

    Args:
        counts: ``LongTensor[G, 2]``, wrong and right answers of each confidence, the least confident first; the bins of
            :func:`risk_histogram` are taken as confidences.

    Returns:
        A scalar in [0, 1]; nan when there is no answer.
    """
    wrong, answers = _from_the_surest(counts)
    kept, errors = answers.cumsum(0) - answers, wrong.cumsum(0) - wrong
    rate = wrong.to(ACCUMULATOR) / answers
    # The j-th answer of a tie has the risk (errors + rate j) / (kept + j) = rate + (errors - rate kept) / (kept + j).
    # Summed over j, the fractions 1 / (kept + j) are a difference of harmonic numbers.
    start = kept.to(ACCUMULATOR) + 1
    harmonic = (start + answers).digamma() - start.digamma()
    return (wrong + (errors - rate * kept) * harmonic).sum() / answers.sum()


def _tied(confidence: Tensor, right: Tensor) -> Tensor:
    """Return the wrong and the right answers of each different confidence, ascending: ``LongTensor[G, 2]``."""
    if confidence.ndim != 1 or right.shape != confidence.shape:
        raise DataError(
            "a risk-coverage curve needs confidence [N] and right [N]; "
            f"got {tuple(confidence.shape)} and {tuple(right.shape)}"
        )
    values, tie = confidence.unique(return_inverse=True)
    return torch.bincount(2 * tie + right, minlength=2 * len(values)).reshape(-1, 2)


def _from_the_surest(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the wrong and all answers of each confidence that has some, the most confident first."""
    counts = counts[counts.sum(dim=1) > 0].flip(0)
    return counts[:, 0], counts.sum(dim=1)
