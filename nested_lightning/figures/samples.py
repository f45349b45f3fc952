"""A sheet of samples: their inputs, their labels, and the predictions at each level."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from nested_lightning.figures.style import BLUE, GREY, ORANGE, SMALL, Drawn, new_axes, plain

_SIGNS = {"correct": ("✓", BLUE), "incorrect": ("✗", ORANGE), "label not known": ("·", GREY), "withheld": ("?", GREY)}
_NAME, _TEXT = 24, 52  # characters of a name, and of a line of text
_WIDTH, _LABEL, _PREDICTION, _BAR = 9.5, 3.0, 6.2, 2.7  # inches


@dataclass(frozen=True)
class Sample:
    """A sample with its predictions, level by level, coarse to fine.

    Attributes:
        row: its number, or -1.
        input: ``uint8[H, W]`` or ``uint8[H, W, 3]``, a text, or None where it cannot be shown.
        truth: names of its labels; None where not known.
        prediction: names of the classes of its path, uncut.
        correct: whether they are; None where the label is not known.
        confidence: of each of them, from 0 to 1.
        depth: how many levels are predicted; the others are withheld.
        label: path of its label, "" where not known.
    """

    row: int
    input: np.ndarray | str | None
    truth: Sequence[str | None]
    prediction: Sequence[str]
    correct: Sequence[bool | None]
    confidence: Sequence[float]
    depth: int
    label: str = ""

    def verdict(self, level: int) -> str:
        """Return ``correct``, ``incorrect``, ``label not known`` or ``withheld``."""
        if level >= self.depth:
            return "withheld"
        return {True: "correct", False: "incorrect", None: "label not known"}[self.correct[level]]


def samples_sheet(samples: Sequence[Sample], levels: Sequence[str], ax: Axes | None = None) -> Drawn:
    """Draw the samples one below the other: input, labels, and predictions as bars as long as their confidence.

    Args:
        samples: in the order of the sheet.
        levels: names, coarse to fine.
        ax: axes to draw on; default: new ones, as high as needed.
    """
    lines = max(4, len(levels)) + 1  # of text per sample, and a gap
    height = lines * len(samples) + 2
    ax = new_axes(9.5, 0.17 * height) if ax is None else ax
    ax.set(xlim=(0, _WIDTH), ylim=(height - 1, -1))
    ax.set_axis_off()
    for x, heading in ((0, "input"), (_LABEL, "label"), (_PREDICTION, "prediction and its confidence")):
        ax.text(x, -0.6, heading, fontsize=SMALL + 1, fontweight="bold", va="center")
    for place, sample in enumerate(samples):
        _draw_input(ax, sample, place * lines, lines - 1)
        for level, name in enumerate(levels):
            _draw_level(ax, sample, level, plain(name, 8), place * lines + level + 0.5)
    key = "   ".join(f"{sign} {meaning}" for meaning, (sign, _) in _SIGNS.items())
    ax.text(0, height - 1.5, key, fontsize=SMALL, va="center")
    return ax.figure, ax


def _draw_input(ax: Axes, sample: Sample, top: float, height: float) -> None:
    if isinstance(sample.input, np.ndarray):
        box, (n_rows, n_columns) = ax.get_window_extent(), sample.input.shape[:2]
        unit = box.height / abs(float(np.subtract(*ax.get_ylim()))) / (box.width / _WIDTH)
        width = min(height * unit * n_columns / n_rows, _LABEL - 0.2)
        bounds = (0, width, top + width / unit * n_rows / n_columns, top)
        ax.imshow(sample.input, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto", extent=bounds)
        return
    text = f"row {sample.row}" if sample.input is None else sample.input
    lines = textwrap.wrap(plain(text, _TEXT * int(height)), _TEXT)[: int(height)]
    ax.text(0, top + 0.1, "\n".join(lines), fontsize=SMALL - 1, va="top")


def _draw_level(ax: Axes, sample: Sample, level: int, name: str, y: float) -> None:
    verdict = sample.verdict(level)
    sign, colour = _SIGNS[verdict]
    text: dict[str, Any] = {"fontsize": SMALL, "va": "center", "color": GREY if verdict == "withheld" else "black"}
    ax.text(_LABEL, y, f"{name}: {plain(sample.truth[level] or 'not known', _NAME)}", fontsize=SMALL, va="center")
    ax.barh(y, _BAR * sample.confidence[level], left=_PREDICTION, height=0.86, color=colour, alpha=0.35)
    ax.text(_PREDICTION + 0.05, y, f"{sign} {plain(sample.prediction[level], _NAME)}", **text)
    ax.text(_WIDTH, y, f"{100 * sample.confidence[level]:.1f} %", ha="right", **text)
