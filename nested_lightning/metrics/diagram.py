"""The diagrams: accuracy against confidence, bin by bin, and risk against coverage."""

from typing import Any

from torch import Tensor

from nested_lightning.errors import ConfigurationError
from nested_lightning.metrics.functional import ece_of
from nested_lightning.metrics.risk_coverage import area_of

BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito: told apart by every kind of colour vision


def reliability_diagram(bins: Tensor, ax: Any = None) -> tuple[Any, Any]:
    """Draw the accuracy of every bin of confidence with the number of rows in it; an empty bin stays blank.

    Bars below the diagonal are overconfident, bars above it underconfident.

    Args:
        bins: ``[n, 3]`` from :func:`nested_lightning.metrics.functional.reliability_bins`.
        ax: matplotlib axes to draw on; default: a new figure.

    Returns:
        matplotlib's ``(fig, ax)``.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    ax = _axes(ax)
    counts, confidences, right = bins.cpu().T
    width = 1 / len(bins)
    filled = counts.nonzero().flatten()
    centres = (filled + 0.5) * width
    accuracy = right[filled] / counts[filled]
    ax.bar(centres, accuracy, width, color=BLUE, edgecolor="white", label="accuracy")
    ax.scatter(
        confidences[filled] / counts[filled],
        accuracy,
        marker="D",
        color=ORANGE,
        label="at mean confidence",
        zorder=3,
    )
    ax.plot([0, 1], [0, 1], "--", color="black", label="perfect calibration")
    for centre, height, count in zip(centres.tolist(), accuracy.tolist(), counts[filled].tolist(), strict=True):
        ax.annotate(
            f"{count:.0f}",
            (centre, height),
            (0, 5),
            textcoords="offset points",
            ha="center",
            rotation=90,
            fontsize=8,
        )
    ax.set(
        xlim=(0, 1),
        ylim=(0, 1.15),  # room for the counts above the bars
        xlabel="confidence",
        ylabel="accuracy",
        title=f"ECE {100 * float(ece_of(bins)):.2f} %, {counts.sum():.0f} rows",
    )
    ax.legend(loc="upper left")
    return ax.figure, ax


def risk_coverage_diagram(counts: Tensor, ax: Any = None) -> tuple[Any, Any]:
    """Draw the share of wrong answers among the most confident ones against the share of answers kept.

    Args:
        counts: ``LongTensor[n, 2]`` from :func:`nested_lightning.metrics.risk_coverage.risk_histogram`.
        ax: matplotlib axes to draw on; default: a new figure.

    Returns:
        matplotlib's ``(fig, ax)``.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    ax = _axes(ax)
    counts = counts.cpu()
    filled = counts[counts.sum(dim=1) > 0].flip(0).cumsum(dim=0)
    kept = filled.sum(dim=1)
    ax.plot(kept / counts.sum(), filled[:, 0] / kept, color=BLUE)
    ax.set(
        xlim=(0, 1),
        xlabel="coverage",
        ylabel="risk",
        title=f"AURC {100 * float(area_of(counts)):.2f} %, {counts.sum()} answers",
    )
    ax.set_ylim(bottom=0)
    return ax.figure, ax


def _axes(ax: Any) -> Any:
    """Return the axes given, or those of a new figure."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ConfigurationError("drawing needs matplotlib: pip install matplotlib") from error
    return plt.subplots(figsize=(5, 5))[1] if ax is None else ax
