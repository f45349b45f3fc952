"""Images under growing distortion (Fig. F.1)."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from nested_lightning.errors import DataError

_WIDTH = 9  # inches
_GAP = 2  # pixels between images


def draw_distortions(images: Mapping[str, Tensor], names: Sequence[str]) -> Figure:
    """Draw a row of images for each distortion, a column for each class.

    Args:
        images: by title of the row ``FloatTensor[n, C, H, W]`` in [0, 1], the same images in the same order.
        names: n names, one per image.

    Raises:
        DataError: images of other shapes, or more or fewer of them than names.
    """
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
