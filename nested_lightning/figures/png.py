"""A figure as a picture: drawn once, for the file and for every logger."""

import warnings
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

DPI = 100


def rendered(figure: Figure, dpi: float = DPI) -> Image.Image:
    """Return the figure as a picture of 256 colours, whose file is a third of the size and looks alike."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows boxes; a warning for each letter would tell no more.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def write_png(image: Image.Image, path: Path) -> None:
    """Write a picture, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
