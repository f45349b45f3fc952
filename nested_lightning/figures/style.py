"""What all figures have in common: colours for every kind of colour vision, a white ground, sizes that can be read."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", "#000000", "#999999")
"""Of lines, in their order: those of Okabe and Ito, with grey for their yellow, which is hard to see on white."""
_LINES = ("-", "--", "-.", ":")
GREY, PALE = "0.45", "0.85"
SMALL, MEDIUM = 8, 10
"""Sizes of fonts in points: of numbers and names, and of titles and labels."""

Drawn = tuple[Any, Axes]
"""What a figure function returns: the ``Figure`` (or ``SubFigure`` of the axes given), and the axes drawn on."""


def panels(n: int, width: float = 3.6, height: float = 3.4, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """Return a white figure with ``n`` axes, at most ``columns`` side by side; width and height of each in inches."""
    across = min(n, columns)
    down = math.ceil(n / across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained", facecolor="white")
    grid = figure.subplots(down, across, squeeze=False).flatten().tolist()
    for spare in grid[n:]:
        spare.remove()
    for ax in grid[:n]:
        ax.tick_params(labelsize=SMALL)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, grid[:n]


def new_axes(width: float = 5, height: float = 4.4) -> Axes:
    """Return the axes of a new figure, sizes in inches."""
    return panels(1, width, height)[1][0]


def look(i: int) -> dict[str, Any]:
    """Return colour and style of the i-th line, no two of the first 32 alike."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": _LINES[(i + i // len(COLOURS)) % len(_LINES)]}


def describe(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Write labels and title, and draw a light grid behind what is drawn."""
    ax.set_xlabel(xlabel, fontsize=MEDIUM)
    ax.set_ylabel(ylabel, fontsize=MEDIUM)
    ax.set_title(title, fontsize=MEDIUM)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def share_legend(figure: Figure | SubFigure, axes: Sequence[Axes], columns: int = 4) -> None:
    """Put the legend of the first axes below the figure in so many columns, and take those of all axes away."""
    handles, labels = axes[0].get_legend_handles_labels()
    for ax in axes:
        if (legend := ax.get_legend()) is not None:
            legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=SMALL + 1)


def plain(text: str, length: int = 32) -> str:
    """Return a name as one line of at most ``length`` characters, none of them read as a formula by matplotlib."""
    line = " ".join(text.split())
    line = line if len(line) <= length else f"{line[: length - 1]}…"
    return line.replace("$", r"\$")
