"""Risk against coverage: the error rate of the predictions that remain when the least confident ones are withheld."""

import torch
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import ACCUMULATOR

BINS = 10_000
"""Number of bins of a histogram of confidences; rejection crowds those of a good model into less than one log-odd."""

LIMIT = 20.0
"""Log-odds at which the histogram ends on either side: those of the float32 below 1 are 16.6."""


def risk_coverage(confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    """Return the risk-coverage curve, from the most confident prediction alone to all predictions.

    Predictions of equal confidence have no order: each counts with their mean error rate, the expectation over random
    orders. So the order of the samples does not matter.

    Args:
        confidence: ``[N]``, on any scale that grows with confidence.
        correct: ``BoolTensor[N]``.

    Returns:
        ``coverage [N]``, the share of predictions kept: 1/N, 2/N, ..., 1; and ``risk [N]``, the share of incorrect ones
        among those kept.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> coverage, risk = risk_coverage(torch.tensor([0.6, 0.9, 0.6, 0.8]), torch.tensor([False, True, True, True]))
        >>> coverage.tolist(), [round(r, 3) for r in risk.tolist()]
        ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.167, 0.25])
    """
    incorrect, total = _most_confident_first(_tied(confidence, correct))
    kept = torch.arange(1, int(total.sum()) + 1, device=confidence.device)
    tie = torch.arange(len(total), device=confidence.device).repeat_interleave(total)
    of_tie = (kept - (total.cumsum(0) - total)[tie]).to(ACCUMULATOR) / total[tie]
    errors = (incorrect.cumsum(0) - incorrect)[tie] + incorrect[tie] * of_tie
    return kept.to(ACCUMULATOR) / len(kept), errors / kept


def area_under_risk_coverage(confidence: Tensor, correct: Tensor) -> Tensor:
    """Return the mean risk over all coverages (AURC), in [0, 1]; smaller is better, nan without predictions.

    It is 0 where all predictions are correct, and the error rate where the confidence is uninformative. Arguments and
    errors as in :func:`risk_coverage`.

    Example:
        >>> area_under_risk_coverage(torch.tensor([0.9, 0.8]), torch.tensor([True, False]))
        tensor(0.2500, dtype=torch.float64)
    """
    return area_of(_tied(confidence, correct))


def risk_histogram(log_confidence: Tensor, correct: Tensor, known: Tensor) -> Tensor:
    """Count incorrect and correct predictions per bin of confidence; the counts of batches add up.

    The bins have equal width in log-odds, which resolves confidences close to 1. Integer counts are deterministic, on a
    GPU too.

    Args:
        log_confidence: logarithms of confidences, any shape.
        correct: bool, same shape.
        known: bool, same shape; the others are not counted.

    Returns:
        ``LongTensor[BINS, 2]``, from the least to the most confident: incorrect and correct predictions.

    Example:
        >>> confidence, correct = torch.tensor([0.8, 0.8, 1.0]), torch.tensor([True, False, True])
        >>> counts = risk_histogram(confidence.log(), correct, known=torch.tensor([True, True, True]))
        >>> counts[counts.sum(dim=1) > 0].tolist()
        [[1, 1], [0, 1]]
    """
    log_p = log_confidence.detach().to(ACCUMULATOR).clamp(max=0)
    log_odds = (log_p - (-torch.expm1(log_p)).log()).nan_to_num(nan=-LIMIT).clamp(-LIMIT, LIMIT)
    place = ((log_odds + LIMIT) * (BINS / (2 * LIMIT))).long().clamp(max=BINS - 1)
    # Not bincount of the known ones: that would wait for the device with every batch.
    empty = torch.zeros(2 * BINS, dtype=torch.long, device=place.device)
    return empty.index_add(0, (2 * place + correct).flatten(), known.flatten().long()).reshape(BINS, 2)


def area_of(counts: Tensor) -> Tensor:
    """Return the area under the risk-coverage curve, in [0, 1]; nan without predictions.

    Args:
        counts: ``LongTensor[G, 2]``, incorrect and correct predictions of each confidence, the least confident first,
            such as :func:`risk_histogram`, whose bins count as one confidence each.
    """
    incorrect, total = _most_confident_first(counts)
    kept, errors = total.cumsum(0) - total, incorrect.cumsum(0) - incorrect
    rate = incorrect.to(ACCUMULATOR) / total
    # The j-th prediction of a tie has risk (errors + rate j) / (kept + j) = rate + (errors - rate kept) / (kept + j).
    # Summed over j, the fractions 1 / (kept + j) are a difference of harmonic numbers.
    start = kept.to(ACCUMULATOR) + 1
    harmonic = (start + total).digamma() - start.digamma()
    return (incorrect + (errors - rate * kept) * harmonic).sum() / total.sum()


def _tied(confidence: Tensor, correct: Tensor) -> Tensor:
    """Return incorrect and correct predictions of each distinct confidence, ascending: ``LongTensor[G, 2]``."""
    if confidence.ndim != 1 or correct.shape != confidence.shape:
        raise DataError(
            "a risk-coverage curve needs confidence [N] and correct [N]; "
            f"got {tuple(confidence.shape)} and {tuple(correct.shape)}"
        )
    values, tie = confidence.unique(return_inverse=True)
    return torch.bincount(2 * tie + correct, minlength=2 * len(values)).reshape(-1, 2)


def _most_confident_first(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the incorrect and all predictions of each confidence that occurs, in descending order."""
    counts = counts[counts.sum(dim=1) > 0].flip(0)
    return counts[:, 0], counts.sum(dim=1)
