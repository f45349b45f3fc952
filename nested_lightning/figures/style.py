"""Shared by all figures: colours for every kind of colour vision, a white ground, readable sizes, and PNG files."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from nested_lightning.utils.files import replacing

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", "#000000", "#999999")
"""Of lines, in their order: those of Okabe and Ito, with grey for their yellow, which is hard to see on white."""
_LINES = ("-", "--", "-.", ":")
GREY, PALE = "0.45", "0.85"
SMALL, MEDIUM = 8, 10
"""Font sizes in points: of numbers and names, and of titles and labels."""

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
    """Return colour and style of the i-th line; the first 32 all differ."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": _LINES[(i + i // len(COLOURS)) % len(_LINES)]}


def describe(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Write labels and title, and draw a light grid behind the data."""
    ax.set_xlabel(xlabel, fontsize=MEDIUM)
    ax.set_ylabel(ylabel, fontsize=MEDIUM)
    ax.set_title(title, fontsize=MEDIUM)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def share_legend(figure: Figure | SubFigure, axes: Sequence[Axes], columns: int = 4) -> None:
    """Replace the legends of all axes by that of the first ones, below the figure."""
    handles, labels = axes[0].get_legend_handles_labels()
    for ax in axes:
        if (legend := ax.get_legend()) is not None:
            legend.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=SMALL + 1)


def plain(text: str, length: int = 32) -> str:
    """Return a name as one line of at most ``length`` characters, safe from matplotlib's formulas."""
    line = " ".join(text.split())
    line = line if len(line) <= length else f"{line[: length - 1]}…"
    return line.replace("$", r"\$")


def rendered(figure: Figure) -> Image.Image:
    """Return the figure as an image of 256 colours, whose file is a third of the size and looks the same."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; a warning for each letter adds nothing.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas.draw()  # savefig would draw twice, encode and decode
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def write_png(image: Image.Image, path: Path) -> None:
    """Write an image, creating the folders above it.

    Raises:
        WriteError: the file system refuses.
    """
    with replacing(path) as temporary:
        image.save(temporary, format="png")
