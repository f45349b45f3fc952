"""A figure as a picture: drawn once, for the file and for every logger."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def rendered(figure: Figure) -> Image.Image:
    """Return the figure as a picture of 256 colours, whose file is a third of the size and looks alike."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; a warning for each letter would tell no more.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas.draw()  # savefig would draw twice, encode and decode
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def write_png(image: Image.Image, path: Path) -> None:
    """Write a picture, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
