"""Training from epoch to epoch, with the stages of the cascade."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nested_lightning.figures.style import GREY, SMALL, Drawn, describe, look, new_axes, plain

Epochs = Sequence[Mapping[str, float | str | None]]
"""An entry per epoch: ``stage``, the name of its level, and what was logged under the keys that are asked for."""


def loss_timeline(epochs: Epochs, ax: Axes | None = None) -> Drawn:
    """Draw the losses of every epoch; losses of different stages are of different levels, and cannot be compared.

    Args:
        epochs: with the keys ``train/loss`` and ``val/loss``; what is missing is left out.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    return _draw(epochs, {"train/loss": "training", "val/loss": "validation"}, 1.0, "loss", ax)


def accuracy_timeline(epochs: Epochs, levels: Sequence[str], ax: Axes | None = None) -> Drawn:
    """Draw the accuracy on the validation rows after every epoch, a line per level.

    Args:
        epochs: with the keys ``val/LEVEL/accuracy``; what is missing, such as a level of a later stage, is left out.
        levels: names, coarse to fine.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    lines = {f"val/{level}/accuracy": plain(level) for level in levels}
    return _draw(epochs, lines, 100.0, "accuracy, validation rows, %", ax)


def _draw(epochs: Epochs, lines: Mapping[str, str], scale: float, ylabel: str, ax: Axes | None) -> Drawn:
    ax = new_axes(8, 3.4) if ax is None else ax
    for i, (key, name) in enumerate(lines.items()):
        values = [_number(epoch.get(key)) * scale for epoch in epochs]
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
    for number, (stage, epochs) in enumerate(groupby(stages), start=1):
        if number > 1:
            ax.axvline(start, color=GREY, linewidth=1, label="_")
        place = ax.get_xaxis_transform()
        text = f"{number} {plain(stage, 16)}"
        ax.text(start, 1.02, text, transform=place, fontsize=SMALL, color=GREY, rotation=25, ha="left", va="bottom")
        start += len(list(epochs))


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
