"""The confusions of one level, in the order of the tree."""

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.confusion import plot_confusion
from nested_lightning.figures.style import Drawn, plain
from nested_lightning.taxonomy import Taxonomy


def confusion_by_taxonomy(counts: Tensor, taxonomy: Taxonomy, level: int, ax: Axes | None = None) -> Drawn:
    """Draw the confusions of one level in the order of the tree, with a frame around the children of each node.

    Args:
        counts: ``LongTensor[K, K]`` in the order of the taxonomy's indices: row = label, column = answer.
        taxonomy: the tree.
        level: index of the level.
        ax: axes to draw on. None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    above = [taxonomy.ancestors(level, coarser).tolist() for coarser in range(level + 1)]
    order = sorted(range(len(counts)), key=lambda k: [ancestors[k] for ancestors in above])
    groups, names = [], []
    for coarser, ancestors in enumerate(above[:-1]):
        members = [ancestors[k] for k in order]
        nodes = list(dict.fromkeys(members))
        groups.append([members.count(node) for node in nodes])
        names.append([unique_names(taxonomy, coarser)[node] for node in nodes])
    labels = [unique_names(taxonomy, level)[k] for k in order]
    fig, ax = plot_confusion(counts.cpu().numpy()[np.ix_(order, order)], labels, groups, ax, names)
    ax.set_title(f"{plain(taxonomy.levels[level])}: {int(counts.sum()):,} rows", fontsize=ax.xaxis.label.get_fontsize())
    return fig, ax


def unique_names(taxonomy: Taxonomy, level: int) -> list[str]:
    """Return the names of a level's classes, with that of the parent where a name stands under several."""
    nodes = taxonomy.nodes(level)
    often = Counter(path[-1] for path in nodes)
    return [path[-1] if often[path[-1]] == 1 else "/".join(path[-2:]) for path in nodes]
