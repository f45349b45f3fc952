"""How deep the answers go, and how many of each depth are right."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import BLUE, ORANGE, PALE, SMALL, Drawn, describe, new_axes, plain

_KINDS = (("right", BLUE, ""), ("wrong somewhere", ORANGE, "//"), ("not known so deep", PALE, ""))


def depth_chart(counts: Tensor, levels: Sequence[str], ax: Axes | None = None) -> Drawn:
    """Draw how many rows are answered to each level and no further, and how many of these answers are right.

    Args:
        counts: ``LongTensor[n_levels + 1, 3]`` from
            :meth:`~nested_lightning.metrics.predictions.EvaluatedPredictions.count_depths`.
        levels: names, coarse to fine.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    ax = new_axes(6, 1.4 + 0.4 * len(levels)) if ax is None else ax
    rows = max(int(counts.sum()), 1)
    shares = 100 * counts.cpu() / rows
    places = range(len(counts))
    bottom = shares[:, 0] * 0
    for (name, colour, hatch), column in zip(_KINDS, shares.T, strict=True):
        if column.any():
            ax.barh(
                places,
                column.tolist(),
                left=bottom.tolist(),
                color=colour,
                hatch=hatch,
                edgecolor="white",
                label=name,
            )
        bottom = bottom + column
    for place, (right, wrong, _), end in zip(places, counts.tolist(), bottom.tolist(), strict=True):
        known = right + wrong
        of_known = f", {100 * right / known:.1f} % right" if place and known else ""
        ax.text(end + 1, place, f"{end:.1f} %{of_known}" if end else "none", va="center", fontsize=SMALL)
    describe(ax, f"share of {rows:,} rows, %", "", "where the answers end")
    ax.set_yticks(places, ["no answer", *(plain(level, 20) for level in levels)])
    ax.set(xlim=(0, 100 + 45), xticks=range(0, 101, 25))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    if ax.containers:
        ax.legend(loc="upper right", fontsize=SMALL)
    return ax.figure, ax
