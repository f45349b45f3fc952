"""Figure F.1: digits under the four distortions; nothing is trained."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.evaluation import DISTORTIONS, join_batches
from benchmarks.paper.result import Result
from nested_lightning import HierarchicalDataModule
from nested_lightning.errors import DataError
from nested_lightning.transforms import Turbulence

_WIDTH = 9  # inches
_GAP = 2  # pixels between images


@figure("figureF1", seeds=1, one_seed=True)
def show_distortions(runs: Runs) -> Result:
    """Return the picture: the first test sample of each digit."""
    distortions = {name: Turbulence(**options["init_args"]) for name, options in DISTORTIONS.items()}
    source = str(runs.workspace.data / "mnist")
    data = HierarchicalDataModule(source, "taxonomies/mnist.yaml", distortions=distortions, seed=runs.seeds[0])
    data.setup("test")
    columns = [join_batches(loader) for loader in data.test_dataloader()]
    target, names = columns[0][1][:, -1], data.taxonomy.names(data.taxonomy.n_levels - 1)
    first = [int((target == k).nonzero()[0]) for k in range(len(names))]
    titles = ["original", *(name.replace("_", " ") for name in distortions)]
    images = {title: column[0][first] for title, column in zip(titles, columns, strict=True)}
    return Result(
        title="Figure F.1: distortions",
        notes=["(S, T) = (1, 0.8), (1, 1), (1, 1.3), (1, 1.5): smoothness of the field and its strength, in pixels."],
        pictures={runs.name: draw_distortions(images, names)},
    )


def draw_distortions(images: Mapping[str, Tensor], names: Sequence[str]) -> Figure:
    """Draw a row of images ``FloatTensor[n, C, H, W]`` in [0, 1] for each distortion, a column for each of n names."""
    from torchvision.utils import make_grid

    shapes = {tuple(batch.shape) for batch in images.values()}
    if len(shapes) != 1 or next(iter(shapes))[0] != len(names):
        raise DataError(f"expected {len(names)} images, one per name, alike in all rows; got {sorted(shapes)}")
    _, _, height, width = next(iter(shapes))
    sheet = make_grid(torch.cat(list(images.values())), nrow=len(names), padding=_GAP, pad_value=1).clamp(0, 1)
    rows, columns = ((n, side + _GAP) for n, side in ((len(images), height), (len(names), width)))
    margin = 0.2 + 0.08 * max(map(len, images))  # for the titles of the rows
    figure = Figure(figsize=(_WIDTH, (_WIDTH - margin) * sheet.shape[1] / sheet.shape[2] + 0.4), layout="constrained")
    ax = figure.subplots()
    ax.imshow(sheet.permute(1, 2, 0).numpy(), interpolation="nearest")
    ax.set_xticks([(i + 0.5) * columns[1] + _GAP / 2 for i in range(columns[0])], names)
    ax.set_yticks([(i + 0.5) * rows[1] + _GAP / 2 for i in range(rows[0])], list(images))
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    return figure
