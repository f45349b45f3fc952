"""Figure G.1: the embeddings of every level in two dimensions (t-SNE), stage by stage, and the end-to-end model's."""

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

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.evaluation import CLEAN, join_batches
from benchmarks.paper.result import Result
from nested_lightning import Taxonomy
from nested_lightning.figures.style import BLUE, ORANGE
from nested_lightning.loading import load_run

SAMPLES = 1000
_HUES = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of Okabe and Ito
_MARKERS = "o^sDv<>P"
_MOST_NAMES = 12


@figure("figureG1", dataset="mnist", variants=["nested", "end_to_end_9000"], seeds=1, one_seed=True)
@torch.no_grad()
def show_embeddings(runs: Runs) -> Result:
    """Return the picture: a column per stage of the nested run, and one of the end-to-end run."""
    baseline, loaders = runs.open("end_to_end_9000")
    images, target = (column[:SAMPLES] for column in join_batches(loaders[CLEAN]))
    columns: dict[str, list[Tensor]] = {}
    for level, name in enumerate(baseline.taxonomy.levels):
        module, _ = load_run(runs.folders("nested")[0] / "checkpoints" / f"stage-{level + 1}-{name}.ckpt")
        columns[f"stage {name}"] = module.network.embed(images, up_to=level)
    columns["end to end"] = baseline.network.embed(images)
    title = "Figure G.1: MNIST, embeddings of the test rows (t-SNE)"
    return Result(title=title, pictures={runs.name: draw_embeddings(columns, target, baseline.taxonomy)})


def draw_embeddings(
    embeddings: Mapping[str, Sequence[Tensor]], target: Tensor, taxonomy: Taxonomy, samples: int = 1000, seed: int = 0
) -> Figure:
    """Draw a random choice of the samples whose finest label is known, the same in every panel.

    The hue shows the coarsest class, the lightness the finest, the marker the class of the second level. Up to 12
    finest classes are named at the median of their points. The axes have no meaning.

    ``embeddings`` has by column those ``[N, ...]`` of each level, coarse to fine, as ``module.network.embed`` returns
    them; panels of missing levels stay empty.
    """
    from sklearn.manifold import TSNE

    known = (target[:, -1] >= 0).nonzero().flatten()
    drawn = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:samples]]
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
    lineage = taxonomy.lift(torch.arange(taxonomy.sizes[-1]), taxonomy.n_levels - 1)
    styles = {}
    for coarse, hue in zip(range(taxonomy.sizes[0]), cycle(_HUES)):
        family = lineage[lineage[:, 0] == coarse]
        markers = dict(zip(family[:, 1].unique().tolist(), cycle(_MARKERS)))
        shades = np.linspace(0, 0.6, len(family))  # towards white
        for path, shade in zip(family.tolist(), shades, strict=True):
            styles[path[-1]] = (shade + (1 - shade) * np.array(to_rgb(hue)), markers[path[1]])
    return styles
