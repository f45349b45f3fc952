"""The embeddings in two dimensions by t-SNE, a row per level, a column per model or stage of training (Fig. G.1)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from torch import Tensor

from nested_lightning import Taxonomy
from nested_lightning.figures.style import BLUE, ORANGE

_HUES = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of Okabe and Ito
_MARKERS = "o^sDv<>P"
_MOST_NAMES = 12


def draw_embeddings(
    embeddings: Mapping[str, Sequence[Tensor]], target: Tensor, taxonomy: Taxonomy, rows: int = 1000, seed: int = 0
) -> Figure:
    """Draw a random sample of the rows whose finest label is known, the same in every panel.

    The hue tells the coarsest class, the lightness the finest; the marker tells the class of the second level. Up to
    12 finest classes have their names at the median of their points. The axes have no meaning.

    Args:
        embeddings: by column the embeddings ``[N, ...]`` per level, coarse to fine, as ``module.network.embed(images)``
            gives them; of an unfinished stage those of its levels, ``embed(images, up_to=0)``. Panels of the levels
            that are missing stay empty.
        target: class indices ``[N, n_levels]``, -1 unknown.
        taxonomy: of the classes.
        rows: at most so many are drawn.
        seed: of the sample and of t-SNE.
    """
    from sklearn.manifold import TSNE

    known = (target[:, -1] >= 0).nonzero().flatten()
    drawn = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:rows]]
    levels = taxonomy.levels
    figure = Figure(figsize=(0.4 + 1.8 * len(embeddings), 0.6 + 1.75 * len(levels)), layout="constrained")
    panels = figure.subplots(len(levels), len(embeddings), squeeze=False)
    for column, (name, of_levels) in enumerate(embeddings.items()):
        panels[0, column].set_title(name)
        for panel, embedding in zip(panels[:, column], of_levels, strict=False):
            tsne = TSNE(init="pca", perplexity=min(30, (len(drawn) - 1) / 3), random_state=seed)
            _scatter(panel, tsne.fit_transform(embedding[drawn].numpy()), target[drawn], taxonomy)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], frame_on=bool(panel.collections))
    for panel, level in zip(panels[:, 0], levels, strict=True):
        panel.set_ylabel(f"{level} embedding")
    if (n_coarse := taxonomy.sizes[0]) <= len(_HUES):
        dots = [Line2D([], [], color=hue, marker="o", linewidth=0) for hue in _HUES[:n_coarse]]
        figure.legend(dots, taxonomy.names(0), loc="outside lower center", ncols=n_coarse, frameon=False)
    return figure


def _scatter(panel: Any, points: np.ndarray, target: Tensor, taxonomy: Taxonomy) -> None:
    names = taxonomy.names(taxonomy.n_levels - 1)
    for leaf, (colour, marker) in _styles(taxonomy).items():
        own = points[(target[:, -1] == leaf).numpy()]
        panel.scatter(*own.T, s=5, color=colour, marker=marker, linewidth=0)
        if len(own) and len(names) <= _MOST_NAMES:
            halo = [withStroke(linewidth=2.5, foreground="white")]
            where = np.median(own, axis=0)
            panel.text(*where, names[leaf], ha="center", va="center", fontsize=8, weight="bold", path_effects=halo)


def _styles(taxonomy: Taxonomy) -> dict[int, tuple[np.ndarray, str]]:
    """Return colour and marker of each finest class."""
    n_leaves = taxonomy.sizes[-1]
    lineage = taxonomy.lift(torch.arange(n_leaves), taxonomy.n_levels - 1)
    styles = {}
    for coarse, hue in zip(range(taxonomy.sizes[0]), cycle(_HUES)):
        family = lineage[lineage[:, 0] == coarse]
        markers = dict(zip(family[:, 1].unique().tolist(), cycle(_MARKERS)))
        shades = np.linspace(0, 0.6, len(family))  # towards white
        for path, shade in zip(family.tolist(), shades, strict=True):
            styles[path[-1]] = (shade + (1 - shade) * np.array(to_rgb(hue)), markers[path[1]])
    return styles
