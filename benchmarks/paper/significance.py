"""Compare our values with the paper's, and the nested model with a baseline, seed by seed."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.paper.result import Cell


def compare(ours: Sequence[float], paper: float, least_spread: float) -> str:
    """Return ``=`` if the means differ by at most the spread, else ``+`` (ours is higher) or ``-``.

    The spread is twice the standard deviation over our seeds, and at least ``least_spread``.
    """
    spread = max(least_spread, 2 * statistics.stdev(ours) if len(ours) > 1 else 0.0)
    difference = statistics.mean(ours) - paper
    return "=" if abs(difference) <= spread else "+" if difference > 0 else "-"


def judge(cell: Cell, least_spread: float = 0.5) -> str:
    """Return the verdict on a cell in words, empty if the paper has no value.

    Accuracy is better when higher, confidence when nearer to the accuracy.
    """
    words = {"=": "within spread", "+": "better", "-": "worse"}
    if not cell.paper:
        return ""
    accuracy = words[compare(cell.accuracy, cell.paper[0], least_spread)]
    if len(cell.paper) == 1 or not cell.confidence:
        return accuracy
    gaps = [-abs(c - a) for c, a in zip(cell.confidence, cell.accuracy, strict=True)]
    return f"{accuracy} / {words[compare(gaps, -abs(cell.paper[1] - cell.paper[0]), least_spread)]}"


def subtract(ours: Sequence[Any], baseline: Sequence[Any], value: Callable[[Any], float] = float) -> list[float]:
    """Return our value minus the baseline's, seed by seed; ``value`` reads it from what there is of a seed."""
    return [value(a) - value(b) for a, b in zip(ours, baseline, strict=True)]


def confidence_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and the half-width of its 95 % t-interval; infinite for one seed."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return statistics.mean(values), float("inf")
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return statistics.mean(values), half
