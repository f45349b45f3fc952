"""How our figures stand to the paper's, and the nested model to a baseline."""

import statistics
from collections.abc import Sequence

from benchmarks.paper.result import Cell


def compared(ours: Sequence[float], paper: float, least_spread: float) -> str:
    """Return ``=`` where the means differ by no more than the spread, else ``+`` (ours is higher) or ``-``.

    The spread is twice the standard deviation of our seeds, and no less than ``least_spread``.
    """
    spread = max(least_spread, 2 * statistics.stdev(ours) if len(ours) > 1 else 0.0)
    difference = statistics.mean(ours) - paper
    return "=" if abs(difference) <= spread else "+" if difference > 0 else "-"


def verdict(cell: Cell, least_spread: float = 0.5) -> str:
    """Return the verdict on a cell in words, empty without a figure of the paper.

    Accuracy is better when higher, confidence when nearer to the accuracy.
    """
    words = {"=": "within spread", "+": "better", "-": "worse"}
    if not cell.paper:
        return ""
    found = words[compared(cell.accuracy, cell.paper[0], least_spread)]
    if len(cell.paper) == 1 or not cell.confidence:
        return found
    gaps = [-abs(c - a) for c, a in zip(cell.confidence, cell.accuracy, strict=True)]
    return f"{found} / {words[compared(gaps, -abs(cell.paper[1] - cell.paper[0]), least_spread)]}"


def differences(ours: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Return ours minus the baseline's, seed by seed."""
    return [a - b for a, b in zip(ours, baseline, strict=True)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and the half-width of its 95 % t-interval; infinite for one seed."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return statistics.mean(values), float("inf")
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return statistics.mean(values), half
