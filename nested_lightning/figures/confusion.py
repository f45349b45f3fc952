"""Confusion matrices with the borders of the groups (Fig. D.1)."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from torch import Tensor

from nested_lightning.errors import DataError
from nested_lightning.figures.style import ORANGE, Drawn, new_axes, plain
from nested_lightning.functional.reliability import normalised
from nested_lightning.taxonomy import Taxonomy

_MOST_NUMBERS, _MOST_NAMES = 12, 40  # classes whose cells have numbers, and classes that are named
_FONTS = (4.5, 11.0)  # smallest and largest names, in points
_LINE = 1.15  # height of a line in font sizes


def confusion_by_taxonomy(counts: Tensor, taxonomy: Taxonomy, level: int, ax: Axes | None = None) -> Drawn:
    """Draw the confusions of one level in the order of the tree, with a frame around the children of each node.

    Args:
        counts: ``LongTensor[K, K]`` in the order of the taxonomy's indices: row = label, column = prediction.
        taxonomy: the tree.
        level: index of the level.
        ax: axes to draw on; default: new ones.
    """
    above = [taxonomy.ancestors(level, coarser).tolist() for coarser in range(level + 1)]
    order = sorted(range(len(counts)), key=lambda k: [ancestors[k] for ancestors in above])
    groups, names = [], []
    for coarser, ancestors in enumerate(above[:-1]):
        sizes = Counter(ancestors[k] for k in order)  # in the order of their first members
        groups.append(list(sizes.values()))
        of_nodes = taxonomy.unambiguous_names(coarser)
        names.append([of_nodes[node] for node in sizes])
    of_classes = taxonomy.unambiguous_names(level)
    labels = [of_classes[k] for k in order]
    fig, ax = plot_confusion(counts.cpu().numpy()[np.ix_(order, order)], labels, groups, ax, names)
    title = f"{plain(taxonomy.levels[level])}: {int(counts.sum()):,} samples"
    ax.set_title(title, fontsize=ax.xaxis.label.get_fontsize())
    return fig, ax


def plot_confusion(
    matrix: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[Sequence[int]] = (),
    ax: Axes | None = None,
    group_names: Sequence[Sequence[str]] = (),
) -> Drawn:
    """Draw which classes are confused, with a frame around each group; coarser groups have thicker frames.

    The diagonal is grey and off the scale: correct predictions are so many that mistakes would look alike. Up to 12
    classes have numbers in the cells. Of more than 40 classes the groups are named instead, if they have names.

    Args:
        matrix: counts or shares ``[n, n]``: row = label, column = prediction; in the order of ``labels``.
        labels: n names, the members of a group side by side.
        groups: sizes of the groups in this order, a list for each level, coarse to fine.
        ax: axes to draw on; default: new ones, larger for more names.
        group_names: a name for each of ``groups``.

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
    ax.set_facecolor("#d9d9d9")
    # With many classes each has few samples, and one mistake is a large share: the root makes the others visible, too.
    scale = PowerNorm(1 if n <= _MOST_NAMES else 0.5, 0, float(mistakes.max()) or 1)
    image = ax.imshow(mistakes, cmap="Blues", norm=scale, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    box, inch = ax.get_window_extent(), ax.figure.dpi
    font = 8 + box.height / inch / 4
    bar.set_label("% of the label's samples (grey: correct)", fontsize=font)
    bar.ax.tick_params(labelsize=0.9 * font)
    if n <= _MOST_NUMBERS:
        _write_numbers(ax, percent, float(mistakes.max()))
    points = float(min(box.width, box.height) / inch * 72 / n)  # of a class
    framed = [sizes for sizes in groups if n / len(sizes) * points >= 8]  # smaller ones would be all frame
    for level, sizes in enumerate(framed):
        _frame(ax, sizes, width=1 + 0.8 * (len(framed) - 1 - level))
    # Groups differ in size: names of small ones are left out before the letters get too small.
    _name_ticks(ax, places, names, points, _FONTS[0] if len(names) == n else 7.0)
    ax.set_xlabel("prediction", fontsize=font)
    ax.set_ylabel("label", fontsize=font)
    return ax.figure, ax


def _named(
    labels: Sequence[str], groups: Sequence[Sequence[int]], group_names: Sequence[Sequence[str]]
) -> tuple[list[float], list[str]]:
    """Return places and names along the axes: of the classes, or of the finest groups that are few enough to read."""
    if len(labels) > _MOST_NAMES:
        few = [level for level, names in enumerate(group_names) if len(names) <= _MOST_NAMES]
        if few:
            sizes = groups[few[-1]]
            middles = [stop - size / 2 - 0.5 for stop, size in zip(accumulate(sizes), sizes, strict=True)]
            return middles, [plain(name) for name in group_names[few[-1]]]
    return list(map(float, range(len(labels)))), [plain(label) for label in labels]


def _axes_for(n: int, names: Sequence[str]) -> Axes:
    """Return new axes with 0.42 inches for a class with numbers, 0.22 for one with a name, and 0.04 for any other."""
    numbers = min(len(names), _MOST_NUMBERS)
    side = float(np.clip(max(0.42 * numbers + 0.22 * (len(names) - numbers), 0.04 * n), 3.5, 20))
    margin = 0.4 + _font_size(side * 72 / len(names)) / 72 * 0.65 * max(map(len, names))
    return new_axes(side + margin + 1.3, side + margin)


def _font_size(points: float) -> float:
    """Return the size of a font whose lines are so many points high, within what is readable."""
    return float(np.clip(points / _LINE, *_FONTS))


def _write_numbers(ax: Axes, percent: np.ndarray, largest: float) -> None:
    for (row, column), value in np.ndenumerate(percent):
        text = f"{value:.1f}" if 0 < value < 99.95 else f"{value:.0f}"
        colour = "white" if row != column and value > 0.6 * largest else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _frame(ax: Axes, sizes: Sequence[int], width: float) -> None:
    for stop, size in zip(accumulate(sizes), sizes, strict=True):
        corner = (stop - size - 0.5, stop - size - 0.5)
        ax.add_patch(Rectangle(corner, size, size, fill=False, edgecolor=ORANGE, linewidth=width, clip_on=False))


def _name_ticks(ax: Axes, places: Sequence[float], names: Sequence[str], points: float, least: float) -> None:
    """Write the names that fit in letters of ``least`` points, where a class is ``points`` high."""
    shown = [0]
    for i, place in enumerate(places[1:], start=1):
        if (place - places[shown[-1]]) * points >= least * _LINE:
            shown.append(i)
    gaps = np.diff([places[i] for i in shown])
    size = _font_size(points * float(gaps.min() if len(gaps) else len(names)))
    ticks, names = [places[i] for i in shown], [names[i] for i in shown]
    ax.set_xticks(ticks, names, rotation=0 if max(map(len, names)) <= 3 else 90, fontsize=size)
    ax.set_yticks(ticks, names, fontsize=size)
    ax.tick_params(length=3)
