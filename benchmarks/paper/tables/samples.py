"""Figure A.1: test images, sharp and disturbed, with the predictions of the nested and the end-to-end model."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.evaluation import CLEAN, join_batches
from benchmarks.paper.result import Result
from nested_lightning import Taxonomy
from nested_lightning.errors import DataError
from nested_lightning.figures.style import BLUE, ORANGE
from nested_lightning.module import Prediction

SAMPLES = 500
CORRECT, INCORRECT, WITHHELD = "✓", "✗", "?"
_COLOURS = {CORRECT: BLUE, INCORRECT: ORANGE, WITHHELD: "0.5"}
_MEANINGS = {CORRECT: "correct", INCORRECT: "incorrect", WITHHELD: "withheld: not confident"}
_TINT = 0.4  # opacity of the bars, so that text on them can be read
_NAME_LENGTH = 14


@figure("figureA1_mnist", dataset="mnist", variants=["nested", "end_to_end_9000"], seeds=1, one_seed=True)
@figure("figureA1", dataset="cifar10", variants=["nested", "end_to_end_15000"], seeds=1, one_seed=True)
def show_samples(runs: Runs) -> Result:
    """Return the picture: samples drawn from the first test samples; photographs are blurred, digits distorted."""
    from torchvision.transforms.v2 import GaussianBlur

    disturbance, baseline = "blurred" if runs.dataset == "cifar10" else "distorted", runs.variants[1]
    opened = {"nested": runs.open("nested"), "end to end": runs.open(baseline)}
    _, loaders = opened["end to end"]
    images, target = (column[:SAMPLES] for column in join_batches(loaders[CLEAN]))
    if disturbance == "blurred":
        disturbed = GaussianBlur(5, 1.5)(images)
    else:
        disturbed = join_batches(loaders["distortion_3"])[0][: len(images)]
    views = {
        title: (x, {method: module.predict(x) for method, (module, _) in opened.items()})
        for title, x in (("sharp", images), (disturbance, disturbed))
    }
    return Result(
        title=f"Figure A.1: {runs.dataset}, answers to sharp and {disturbance} images",
        notes=["Eight of the first 500 test samples, drawn with seed 0. The length of a bar is the confidence."],
        pictures={runs.name: draw_samples(views, target, opened["nested"][0].taxonomy)},
    )


def draw_samples(
    views: Mapping[str, tuple[Tensor, Mapping[str, Prediction]]],
    targets: Tensor,
    taxonomy: Taxonomy,
    n: int = 8,
    seed: int = 0,
) -> Figure:
    """Draw test samples in every view, such as sharp and blurred, with each method's predictions.

    The samples are drawn at random from those known at every level, so that nobody chooses them. A prediction is a bar
    as long as its confidence; below the end of the path it is withheld, and the most probable class is shown in grey.

    ``views`` has by title the images ``FloatTensor[N, C, H, W]`` in [0, 1], and by method the result of
    :meth:`NestedLightningModule.predict` for all of them; the same methods in all views.
    """
    known = (targets >= 0).all(dim=1).nonzero().flatten()
    if len(known) < n:
        raise DataError(f"cannot draw {n} samples, only {len(known)} are known at every level: lower n")
    chosen = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:n]].tolist()
    methods = list(next(iter(views.values()))[1])
    figure = Figure(figsize=(9, 0.9 + 0.27 * taxonomy.n_levels * n), layout="constrained")
    widths = [1.0, *[1.9] * len(methods)] * len(views)
    grid = figure.subplots(n, len(widths), width_ratios=widths, squeeze=False)
    titles = [title for view in views for title in (view, *(method.replace("_", " ") for method in methods))]
    for panel, title in zip(grid[0], titles, strict=True):
        panel.set_title(title, fontsize=10)
    for line, sample in zip(grid, chosen, strict=True):
        truth = "\n".join(_shorten(taxonomy.names(i)[k]) for i, k in enumerate(targets[sample].tolist()))
        line[0].set_ylabel(truth, rotation=0, ha="right", va="center", fontsize=8)
        panels = iter(line)
        for images, predictions in views.values():
            _draw_image(next(panels), images[sample])
            for method in methods:
                _draw_prediction(next(panels), predictions[method], sample, targets[sample], taxonomy)
    keys = [Patch(color=_COLOURS[s], alpha=_TINT, label=f"{s} {meaning}") for s, meaning in _MEANINGS.items()]
    title = f"{n} of {len(known):,} test samples, drawn with seed {seed}; left: their labels"
    figure.legend(handles=keys, title=title, loc="outside lower center", ncols=len(keys), frameon=False)
    return figure


def _draw_image(panel: Axes, image: Tensor) -> None:
    panel.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


def _draw_prediction(panel: Axes, prediction: Prediction, sample: int, target: Tensor, taxonomy: Taxonomy) -> None:
    """Draw one bar per level, the coarsest on top: sign, class and confidence."""
    panel.set(xlim=(0, 1), ylim=(taxonomy.n_levels - 0.5, -0.5))
    panel.set_axis_off()
    for level, probabilities in enumerate(prediction.probabilities):
        given = level < int(prediction.depth[sample])
        node = int(prediction.path[sample, level]) if given else int(probabilities[sample].argmax())
        sign = WITHHELD if not given else CORRECT if node == int(target[level]) else INCORRECT
        confidence = float(probabilities[sample, node])
        panel.barh(level, confidence, height=0.84, color=_COLOURS[sign], alpha=_TINT)
        text = f"{sign} {_shorten(taxonomy.names(level)[node])}"
        colour = "0.45" if sign == WITHHELD else "black"
        panel.text(0.02, level, text, va="center", fontsize=8, color=colour)
        panel.text(0.99, level, f"{100 * confidence:.0f} %", va="center", ha="right", fontsize=8, color=colour)


def _shorten(name: str) -> str:
    """Return the end of a long name: its beginning often repeats the level above."""
    return name if len(name) <= _NAME_LENGTH else f"…{name[1 - _NAME_LENGTH :]}"
