"""The confusion matrix with the borders of the groups (Fig. D.1)."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from nested_lightning.errors import DataError
from nested_lightning.figures.style import ORANGE, Drawn, new_axes, plain
from nested_lightning.functional.reliability import normalised

_DIAGONAL = "#d9d9d9"
_INCHES = (3.5, 20.0)  # side of the matrix
_INCHES_PER_NUMBER, _INCHES_PER_NAME, _INCHES_PER_CLASS = 0.42, 0.22, 0.04
_MOST_NUMBERS = 12
_MOST_NAMES = 40  # of classes; of more the groups are named, where they have names
_FONTS = (4.5, 11.0)
_GROUP_FONT = 7.0  # of groups, which are of different sizes; small ones are left out before letters are too small
_LEAST_FRAME = 8  # points that the mean group must have for a frame
_LINE = 1.15  # height of a line in font sizes


def plot_confusion(
    matrix: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[Sequence[int]] = (),
    ax: Axes | None = None,
    group_names: Sequence[Sequence[str]] = (),
) -> Drawn:
    """Draw which classes are confused, with a frame around each group; coarser groups have thicker frames.

    The diagonal is grey and not on the scale: right answers are so many that mistakes could not be told apart. Up to
    12 classes have their figures in the cells. Of more than 40 classes not these are named but their groups, if they
    have names.

    Args:
        matrix: counts or shares ``[n, n]``: row = label, column = answer; in the order of ``labels``.
        labels: n names, the members of a group side by side.
        groups: sizes of the groups in this order, a list for each level, coarse to fine.
        ax: axes to draw on. None: those of a new figure, larger for more names.
        group_names: a name for each of ``groups``.

    Returns:
        ``(fig, ax)``.

    Raises:
        DataError: labels or groups do not fit the matrix.
    """
    percent = 100 * normalised(matrix)
    n = len(percent)
    if len(labels) != n or any(sum(sizes) != n for sizes in groups):
        raise DataError(f"expected {n} labels, and at each level groups of {n} labels together, for {n} classes")
    places, names = _named(labels, groups, group_names)
    ax = _axes_for(n, names) if ax is None else ax
    mistakes = np.ma.masked_array(percent, mask=np.eye(n, dtype=bool))
    ax.set_facecolor(_DIAGONAL)
    # Of many classes each has few rows, and one mistake is much: with the root of the share others are seen, too.
    scale = PowerNorm(1 if n <= _MOST_NAMES else 0.5, 0, float(mistakes.max()) or 1)
    image = ax.imshow(mistakes, cmap="Blues", norm=scale, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    font = 8 + ax.get_window_extent().height / ax.figure.dpi / 4
    bar.set_label("% of the label's rows (grey: right)", fontsize=font)
    bar.ax.tick_params(labelsize=0.9 * font)
    if n <= _MOST_NUMBERS:
        _write_figures(ax, percent, float(mistakes.max()))
    points = _points_per_class(ax, n)
    framed = [sizes for sizes in groups if n / len(sizes) * points >= _LEAST_FRAME]
    for level, sizes in enumerate(framed):
        _frame(ax, sizes, width=1 + 0.8 * (len(framed) - 1 - level))
    _name_ticks(ax, places, names, points, _FONTS[0] if len(names) == n else _GROUP_FONT)
    ax.set_xlabel("answer", fontsize=font)
    ax.set_ylabel("label", fontsize=font)
    return ax.figure, ax


def _named(
    labels: Sequence[str], groups: Sequence[Sequence[int]], group_names: Sequence[Sequence[str]]
) -> tuple[list[float], list[str]]:
    """Return what is named along the axes and where: the classes, or the finest groups few enough to be read."""
    if len(labels) > _MOST_NAMES:
        few = [level for level, names in enumerate(group_names) if len(names) <= _MOST_NAMES]
        if few:
            sizes = groups[few[-1]]
            middles = [stop - size / 2 - 0.5 for stop, size in zip(accumulate(sizes), sizes, strict=True)]
            return middles, [plain(name) for name in group_names[few[-1]]]
    return list(map(float, range(len(labels)))), [plain(label) for label in labels]


def _axes_for(n: int, names: Sequence[str]) -> Axes:
    numbers = min(len(names), _MOST_NUMBERS)
    named = numbers * _INCHES_PER_NUMBER + (len(names) - numbers) * _INCHES_PER_NAME
    side = float(np.clip(max(named, n * _INCHES_PER_CLASS), *_INCHES))
    margin = 0.4 + _font_size(side * 72 / len(names)) / 72 * 0.65 * max(map(len, names))
    return new_axes(side + margin + 1.3, side + margin)


def _font_size(points: float) -> float:
    """Return the size of a font whose lines are so many points high, as far as it can be read."""
    return float(np.clip(points / _LINE, *_FONTS))


def _write_figures(ax: Axes, percent: np.ndarray, largest: float) -> None:
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


def _frame(ax: Axes, sizes: Sequence[int], width: float) -> None:
    for stop, size in zip(accumulate(sizes), sizes, strict=True):
        corner = (stop - size - 0.5, stop - size - 0.5)
        ax.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=ORANGE, linewidth=width, clip_on=False))


def _points_per_class(ax: Axes, n: int) -> float:
    box = ax.get_window_extent()
    return float(min(box.width, box.height) / ax.figure.dpi * 72 / n)


def _name_ticks(ax: Axes, places: Sequence[float], names: Sequence[str], points: float, least: float) -> None:
    """Write the names that there is room for in letters of ``least`` points, a class having ``points``."""
    shown = [0]
    for i, place in enumerate(places[1:], start=1):
        if (place - places[shown[-1]]) * points >= least * _LINE:
            shown.append(i)
    gaps = np.diff([places[i] for i in shown])
    size = _font_size(points * float(gaps.min() if len(gaps) else len(names)))
    names = [names[i] for i in shown]
    ax.set_xticks([places[i] for i in shown], names, rotation=0 if max(map(len, names)) <= 3 else 90, fontsize=size)
    ax.set_yticks([places[i] for i in shown], names, fontsize=size)
    ax.tick_params(length=3)
