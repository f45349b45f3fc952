"""The drawings: plain figures in, ``matplotlib.figure.Figure`` out."""

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours, which is a third of the size and looks alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
