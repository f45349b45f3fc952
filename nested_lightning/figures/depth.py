"""The depths of predictions, and how many of each depth are correct."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import BLUE, ORANGE, PALE, SMALL, Drawn, describe, new_axes, plain

_KINDS = (("correct", BLUE, ""), ("incorrect somewhere", ORANGE, "//"), ("label ends before", PALE, ""))


def depth_chart(counts: Tensor, levels: Sequence[str], ax: Axes | None = None) -> Drawn:
    """Draw how many predictions end at each level, and how many of these are correct.

    Args:
        counts: ``LongTensor[n_levels + 1, 3]`` per depth, from no level to all: predictions that are correct, incorrect
            at some level, and not known to be either.
        levels: names, coarse to fine.
        ax: axes to draw on; default: new ones.
    """
    ax = new_axes(6, 1.4 + 0.4 * len(levels)) if ax is None else ax
    total = max(int(counts.sum()), 1)
    shares = 100 * counts.cpu() / total
    places = range(len(counts))
    end = shares[:, 0] * 0
    for (name, colour, hatch), share in zip(_KINDS, shares.T, strict=True):
        if share.any():
            style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": name}
            ax.barh(places, share.tolist(), left=end.tolist(), **style)
        end = end + share
    for place, (correct, incorrect, _), stop in zip(places, counts.tolist(), end.tolist(), strict=True):
        known = correct + incorrect
        of_known = f", {100 * correct / known:.1f} % correct" if place and known else ""
        ax.text(stop + 1, place, f"{stop:.1f} %{of_known}" if stop else "none", va="center", fontsize=SMALL)
    describe(ax, f"share of {total:,} samples, %", "", "where the predictions end")
    ax.set_yticks(places, ["no prediction", *(plain(level, 20) for level in levels)])
    ax.set(xlim=(0, 100 + 45), xticks=range(0, 101, 25))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    if ax.containers:
        ax.legend(loc="upper right", fontsize=SMALL)
    return ax.figure, ax
