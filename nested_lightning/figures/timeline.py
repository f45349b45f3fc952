"""Losses and accuracies from epoch to epoch, with the stages of the cascade."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nested_lightning.figures.style import GREY, SMALL, Drawn, describe, look, new_axes, plain

Epochs = Sequence[Mapping[str, float | str | None]]
"""An entry per epoch: ``stage``, the name of its level, and the values logged, by key."""


def loss_timeline(epochs: Epochs, ax: Axes | None = None) -> Drawn:
    """Draw the losses of every epoch; those of different stages cannot be compared, as they cover different levels.

    Args:
        epochs: with the keys ``train/loss`` and ``val/loss``; missing values are left out.
        ax: axes to draw on; default: new ones.
    """
    return _draw(epochs, {"train/loss": "training", "val/loss": "validation"}, 1.0, "loss", ax)


def accuracy_timeline(epochs: Epochs, levels: Sequence[str], ax: Axes | None = None) -> Drawn:
    """Draw the validation accuracy after every epoch, a line per level.

    Args:
        epochs: with the keys ``val/LEVEL/accuracy``; missing values, such as a level of a later stage, are left out.
        levels: names, coarse to fine.
        ax: axes to draw on; default: new ones.
    """
    lines = {f"val/{level}/accuracy": plain(level) for level in levels}
    return _draw(epochs, lines, 100.0, "accuracy, validation samples, %", ax)


def _draw(epochs: Epochs, lines: Mapping[str, str], scale: float, ylabel: str, ax: Axes | None) -> Drawn:
    ax = new_axes(8, 3.4) if ax is None else ax
    for i, (key, name) in enumerate(lines.items()):
        logged = [epoch.get(key) for epoch in epochs]
        values = [math.nan if value is None else float(value) * scale for value in logged]
        if not all(map(math.isnan, values)):
            marker = "o" if len(epochs) < 40 else ""
            ax.plot(range(1, len(epochs) + 1), values, marker=marker, markersize=3, label=name, **look(i))
    describe(ax, "epoch", ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, max(len(epochs), 1) + 0.5)
    _mark_stages(ax, [str(epoch["stage"]) for epoch in epochs])
    if ax.lines:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=SMALL)
    return ax.figure, ax


def _mark_stages(ax: Axes, stages: Sequence[str]) -> None:
    """Draw a line before each stage but the first, and write above the axes which stage begins."""
    start = 0.5
    style: dict[str, Any] = {"fontsize": SMALL, "color": GREY, "rotation": 25, "ha": "left", "va": "bottom"}
    for number, (stage, epochs) in enumerate(groupby(stages), start=1):
        if number > 1:
            ax.axvline(start, color=GREY, linewidth=1, label="_")
        ax.text(start, 1.02, f"{number} {plain(stage, 16)}", transform=ax.get_xaxis_transform(), **style)
        start += len(list(epochs))
