"""The reordered confusion matrix with the borders of the groups (Fig. D.1)."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from nested_lightning.discovery.masses import normalised
from nested_lightning.errors import ConfigurationError, DataError

_DIAGONAL = "#d9d9d9"
_BORDER = "#D55E00"  # orange of Okabe and Ito: stands out from blue for every kind of colour vision
_INCHES = (3.5, 20.0)  # side of the matrix
_INCHES_PER_CLASS = 0.42
_MOST_NUMBERS = 12
_FONTS = (4.5, 11.0)
_LINE = 1.15  # height of a line in font sizes


def plot_confusion(
    matrix: np.ndarray, labels: Sequence[str], groups: Sequence[Sequence[int]] = (), ax: Any = None
) -> tuple[Any, Any]:
    """Draw which classes are confused, with a frame around each group; coarser groups have thicker frames.

    The diagonal is grey and not on the scale: right answers are so many that mistakes could not be told apart. Up to
    12 classes have their figures in the cells.

    Args:
        matrix: counts or shares ``[n, n]``: row = label, column = answer; in the order of ``labels``.
        labels: n names, the members of a group side by side.
        groups: sizes of the groups in this order, a list for each level, coarse to fine.
        ax: matplotlib axes to draw on. None: a new figure, larger for more classes.

    Returns:
        matplotlib's ``(fig, ax)``.

    Raises:
        DataError: labels or groups do not fit the matrix.
        ConfigurationError: matplotlib is not installed.
    """
    percent = 100 * normalised(matrix)
    n = len(percent)
    if len(labels) != n or any(sum(sizes) != n for sizes in groups):
        raise DataError(f"expected {n} labels, and at each level groups of {n} labels together, for {n} classes")
    names = [_shortened(label) for label in labels]
    ax = _new_axes(names) if ax is None else ax
    mistakes = np.ma.masked_array(percent, mask=np.eye(n, dtype=bool))
    ax.set_facecolor(_DIAGONAL)
    image = ax.imshow(mistakes, cmap="Blues", vmin=0, vmax=float(mistakes.max()) or 1)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    font = 8 + ax.figure.get_figheight() / 4
    bar.set_label("% of the label's rows (grey: right)", fontsize=font)
    bar.ax.tick_params(labelsize=0.9 * font)
    if n <= _MOST_NUMBERS:
        _write_figures(ax, percent, float(mistakes.max()))
    for level, sizes in enumerate(groups):
        _frame(ax, sizes, width=1.2 + 1.2 * (len(groups) - 1 - level))
    _name_ticks(ax, names)
    ax.set_xlabel("answer", fontsize=font)
    ax.set_ylabel("label", fontsize=font)
    return ax.figure, ax


def _new_axes(names: Sequence[str]) -> Any:
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ConfigurationError("drawing needs matplotlib: pip install matplotlib") from error
    side = float(np.clip(len(names) * _INCHES_PER_CLASS, *_INCHES))
    margin = 0.4 + _font_size(side * 72 / len(names)) / 72 * 0.65 * max(map(len, names))
    return plt.subplots(figsize=(side + margin + 1.3, side + margin), layout="constrained", facecolor="white")[1]


def _font_size(points: float) -> float:
    """Return the size of a font whose lines are so many points high, as far as it can be read."""
    return float(np.clip(points / _LINE, *_FONTS))


def _write_figures(ax: Any, percent: np.ndarray, largest: float) -> None:
    for (row, column), value in np.ndenumerate(percent):
        dark = row != column and value > 0.6 * largest
        ax.text(
            column,
            row,
            f"{value:.1f}" if 0 < value < 99.95 else f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )


def _frame(ax: Any, sizes: Sequence[int], width: float) -> None:
    from matplotlib.patches import Rectangle

    for stop, size in zip(accumulate(sizes), sizes, strict=True):
        corner = (stop - size - 0.5, stop - size - 0.5)
        ax.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=_BORDER, linewidth=width, clip_on=False))


def _name_ticks(ax: Any, names: Sequence[str]) -> None:
    """Write as many names as there is room for; the others are left out evenly."""
    n = len(names)
    box = ax.get_window_extent()
    points = min(box.width, box.height) / ax.figure.dpi * 72 / n  # of one class
    step = max(1, int(np.ceil(_FONTS[0] * _LINE / points)))
    shown = range(0, n, step)
    size = _font_size(points * step)
    ax.set_xticks(shown, names[::step], rotation=0 if max(map(len, names)) <= 3 else 90, fontsize=size)
    ax.set_yticks(shown, names[::step], fontsize=size)
    ax.tick_params(length=2 if n > 40 else 3)


def _shortened(name: str, length: int = 32) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
