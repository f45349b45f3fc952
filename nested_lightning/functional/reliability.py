"""The metrics of one level as functions of tensors, and what they are computed from: sums per bin of confidence."""

import numpy as np
import torch
from torch import Tensor

from nested_lightning.errors import DataError

ACCUMULATOR = torch.float32 if torch.backends.mps.is_available() else torch.float64
"""Dtype of all sums: float64, except on Apple GPUs, which do not support it."""


def level_accuracy(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return the share of known samples whose most probable class is correct (micro accuracy), nan if none is known.

    Args:
        probabilities: ``[B, K]`` in [0, 1], over the real classes; may sum to less than 1 (rejection).
        target: ``LongTensor[B]``, -1 = not known, ignored.

    Raises:
        DataError: shapes that do not fit, or values outside [0, 1].

    Example:
        >>> level_accuracy(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), torch.tensor([0, 0, -1]))
        tensor(0.5000, dtype=torch.float64)
    """
    return accuracy_of(_checked_bins(probabilities, target))


def level_confidence(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return the mean highest probability over the known samples; arguments and errors as in :func:`level_accuracy`.

    Unknown samples are left out to make it comparable with the accuracy: "Conf%" beside "Acc%" in the paper's tables.

    Example:
        >>> level_confidence(torch.tensor([[0.9, 0.1], [0.5, 0.3]]), torch.tensor([0, 1]))
        tensor(0.7000, dtype=torch.float64)
    """
    return confidence_of(_checked_bins(probabilities, target))


def level_ece(probabilities: Tensor, target: Tensor, bins: int = 15) -> Tensor:
    """Return the expected calibration error over the known samples (Sec. 4.4), nan if none is known.

    The confidences fall into ``bins`` bins of equal width, closed on the left; the last one is closed on both sides
    and includes a confidence of exactly 1 (torchmetrics gives that a bin of its own). Other arguments and errors as in
    :func:`level_accuracy`.

    Example:
        >>> level_ece(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1]))
        tensor(0.4000, dtype=torch.float64)
    """
    return ece_of(_checked_bins(probabilities, target, bins))


def reliability_bins(probabilities: Tensor, target: Tensor, bins: int) -> Tensor:
    """Return the sums that accuracy, confidence and ECE need, per bin of confidence; those of batches add up.

    No value leaves the device, so this does not synchronise.

    Args:
        probabilities: as in :func:`level_accuracy`; the range is not checked here.
        target: as in :func:`level_accuracy`.
        bins: number of bins of equal width over [0, 1].

    Returns:
        ``[bins, 3]``: known samples, sum of their confidences, correct ones among them.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> reliability_bins(torch.tensor([[0.25, 0.125], [1.0, 0.0]]), torch.tensor([1, 0]), bins=2)
        tensor([[1.0000, 0.2500, 0.0000],
                [1.0000, 1.0000, 1.0000]], dtype=torch.float64)
    """
    check_level(probabilities, target)
    confidence, predicted = probabilities.detach().max(dim=1)
    return confidence_bins(confidence, predicted == target, target >= 0, bins)


def confidence_bins(confidence: Tensor, correct: Tensor, known: Tensor, bins: int) -> Tensor:
    """Return :func:`reliability_bins` of the confidences of predictions; all arguments ``[B]``, two of them bool."""
    confidence = confidence.to(ACCUMULATOR)
    inner_edges = torch.linspace(0, 1, bins + 1, dtype=ACCUMULATOR, device=confidence.device)[1:-1]
    place = torch.bucketize(confidence, inner_edges, right=True)
    # A product with the membership matrix, not a scatter: deterministic, on a GPU too.
    member = place == torch.arange(bins, device=place.device).unsqueeze(1)
    sums = torch.stack([torch.ones_like(confidence), confidence, correct.to(ACCUMULATOR)], dim=1)
    return (member & known).to(ACCUMULATOR) @ sums.where(known.unsqueeze(1), 0)


def accuracy_of(bins: Tensor) -> Tensor:
    """Return the accuracy from :func:`reliability_bins`; nan when they are empty."""
    return bins[:, 2].sum() / bins[:, 0].sum()


def confidence_of(bins: Tensor) -> Tensor:
    """Return the mean confidence from :func:`reliability_bins`; nan when they are empty."""
    return bins[:, 1].sum() / bins[:, 0].sum()


def ece_of(bins: Tensor) -> Tensor:
    """Return the expected calibration error from :func:`reliability_bins`; nan when they are empty."""
    # |B|/n * |acc - conf| with acc and conf written as sums over |B|: the bin's size cancels out.
    return (bins[:, 2] - bins[:, 1]).abs().sum() / bins[:, 0].sum()


def normalised(matrix: np.ndarray) -> np.ndarray:
    """Return a confusion matrix of counts ``[n, n]`` as shares of its rows, float64; a row without counts stays 0.

    Raises:
        DataError: the matrix is not square with at least two classes, or has a negative or non-finite entry.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise DataError(f"expected a square confusion matrix of at least 2 classes, got shape {counts.shape}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError("expected counts or shares in the confusion matrix, got a negative or non-finite entry")
    totals = counts.sum(1, keepdims=True)
    shares: np.ndarray = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return shares


def check_level(probabilities: Tensor, target: Tensor) -> None:
    """Raise DataError unless these are ``[B, K]`` and ``[B]``."""
    if probabilities.ndim != 2 or target.shape != probabilities.shape[:1]:
        raise DataError(
            "metrics of a level need probabilities [B, K] and a target [B]; "
            f"got {tuple(probabilities.shape)} and {tuple(target.shape)}"
        )


def check_probabilities(values: Tensor) -> None:
    """Raise DataError unless all values lie in [0, 1], up to rounding."""
    if values.numel():
        low, high = (float(bound) for bound in values.aminmax())
        if not (low >= 0 and high <= 1 + 1e-5):
            raise DataError(
                f"metrics of a level need probabilities between 0 and 1, but got values from {low:.4g} to {high:.4g}: "
                "apply softmax to logits, exp to log-probabilities"
            )


def _checked_bins(probabilities: Tensor, target: Tensor, bins: int = 1) -> Tensor:
    """Return :func:`reliability_bins` of probabilities that lie in [0, 1], up to rounding."""
    check_probabilities(probabilities)
    return reliability_bins(probabilities, target, bins)
