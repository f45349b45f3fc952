"""A sheet of test images with what the methods answer, level by level (Fig. A.1)."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from nested_lightning import Prediction, Taxonomy
from nested_lightning.errors import DataError
from nested_lightning.figures.style import BLUE, ORANGE

RIGHT, WRONG, WITHHELD = "✓", "✗", "?"
_COLOURS = {RIGHT: BLUE, WRONG: ORANGE, WITHHELD: "0.5"}
_MEANINGS = {RIGHT: "right", WRONG: "wrong", WITHHELD: "withheld: too unsure"}
_TINT = 0.4  # opacity of the bars, so that text on them can be read
_NAME_LENGTH = 14


def draw_samples(
    views: Mapping[str, tuple[Tensor, Mapping[str, Prediction]]],
    targets: Tensor,
    taxonomy: Taxonomy,
    n: int = 8,
    seed: int = 0,
) -> Figure:
    """Draw rows of the test data in every view, such as sharp and blurred, with each method's answers.

    The rows are drawn at random from those known at every level, so that nobody chooses them. An answer is a bar as
    long as its confidence; below the end of the path it is withheld, and what it would have been is shown in grey.

    Args:
        views: by title the images ``FloatTensor[N, C, H, W]`` in [0, 1], and by method what
            :meth:`NestedLightningModule.predict` answers to them all; the same methods in all views.
        targets: ``LongTensor[N, n_levels]``, -1 = unknown.
        taxonomy: the tree of labels.
        n: number of rows on the sheet.
        seed: of the draw.

    Raises:
        DataError: fewer than ``n`` rows are known at every level.
    """
    known = (targets >= 0).all(dim=1).nonzero().flatten()
    if len(known) < n:
        raise DataError(f"{n} rows are to be drawn, but {len(known)} are known at every level: lower n")
    rows = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))[:n]].tolist()
    methods = list(next(iter(views.values()))[1])
    figure = Figure(figsize=(9, 0.9 + 0.27 * taxonomy.n_levels * n), layout="constrained")
    widths = [1.0, *[1.9] * len(methods)] * len(views)
    grid = figure.subplots(n, len(widths), width_ratios=widths, squeeze=False)
    titles = [title for view in views for title in (view, *(method.replace("_", " ") for method in methods))]
    for panel, title in zip(grid[0], titles, strict=True):
        panel.set_title(title, fontsize=10)
    for line, row in zip(grid, rows, strict=True):
        truth = "\n".join(_shortened(taxonomy.names(i)[k]) for i, k in enumerate(targets[row].tolist()))
        line[0].set_ylabel(truth, rotation=0, ha="right", va="center", fontsize=8)
        panels = iter(line)
        for images, predictions in views.values():
            _draw_image(next(panels), images[row])
            for method in methods:
                _draw_answers(next(panels), predictions[method], row, targets[row], taxonomy)
    keys = [Patch(color=_COLOURS[s], alpha=_TINT, label=f"{s} {meaning}") for s, meaning in _MEANINGS.items()]
    title = f"{n} of {len(known):,} test rows, drawn with seed {seed}; left: their labels"
    figure.legend(handles=keys, title=title, loc="outside lower center", ncols=len(keys), frameon=False)
    return figure


def _draw_image(panel: Axes, image: Tensor) -> None:
    panel.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


def _draw_answers(panel: Axes, prediction: Prediction, row: int, target: Tensor, taxonomy: Taxonomy) -> None:
    """Draw one bar per level, the coarsest on top: sign, answer and confidence."""
    panel.set(xlim=(0, 1), ylim=(taxonomy.n_levels - 0.5, -0.5))
    panel.set_axis_off()
    for level, probabilities in enumerate(prediction.probabilities):
        answered = level < int(prediction.depth[row])
        answer = int(prediction.path[row, level]) if answered else int(probabilities[row].argmax())
        sign = WITHHELD if not answered else RIGHT if answer == int(target[level]) else WRONG
        confidence = float(probabilities[row, answer])
        panel.barh(level, confidence, height=0.84, color=_COLOURS[sign], alpha=_TINT)
        text = f"{sign} {_shortened(taxonomy.names(level)[answer])}"
        colour = "0.45" if sign == WITHHELD else "black"
        panel.text(0.02, level, text, va="center", fontsize=8, color=colour)
        panel.text(0.99, level, f"{100 * confidence:.0f} %", va="center", ha="right", fontsize=8, color=colour)


def _shortened(name: str) -> str:
    """Return the end of a long name, as the beginning often repeats the level above."""
    return name if len(name) <= _NAME_LENGTH else f"…{name[1 - _NAME_LENGTH :]}"
