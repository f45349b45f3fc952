"""The reliability diagram: accuracy against confidence, bin by bin."""

from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import BLUE, ORANGE, SMALL, Drawn, describe, new_axes
from nested_lightning.functional.reliability import ece_of


def reliability_diagram(bins: Tensor, ax: Axes | None = None) -> Drawn:
    """Draw the accuracy of every bin of confidence with the number of rows in it; an empty bin stays blank.

    Bars below the diagonal are overconfident, bars above it underconfident.

    Args:
        bins: ``[n, 3]`` from :func:`nested_lightning.functional.reliability.reliability_bins`.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    ax = new_axes() if ax is None else ax
    counts, confidences, right = bins.cpu().T
    width = 1 / len(bins)
    filled = counts.nonzero().flatten()
    centres = ((filled + 0.5) * width).tolist()
    accuracy = (right[filled] / counts[filled]).tolist()
    means = (confidences[filled] / counts[filled]).tolist()
    ax.bar(centres, accuracy, width, color=BLUE, edgecolor="white", label="accuracy")
    ax.scatter(means, accuracy, marker="D", s=20, color=ORANGE, label="at mean confidence", zorder=3)
    ax.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="perfect calibration")
    for centre, height, count in zip(centres, accuracy, counts[filled].tolist(), strict=True):
        ax.annotate(
            f"{count:.0f}",
            (centre, height),
            (0, 7),
            textcoords="offset points",
            ha="center",
            rotation=90,
            fontsize=SMALL,
        )
    describe(ax, "confidence", "accuracy", f"ECE {100 * float(ece_of(bins)):.2f} %, {counts.sum():.0f} rows")
    # Room for the counts above the bars.
    ax.set(xlim=(0, 1), ylim=(0, 1.25), yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.legend(loc="upper left", fontsize=SMALL)
    return ax.figure, ax
