"""The drawings: plain figures in, ``matplotlib.figure.Figure`` out."""

from pathlib import Path

from matplotlib.figure import Figure

from nested_lightning.figures.style import rendered, write_png


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 110 pixels per inch."""
    figure.set_dpi(110)
    write_png(rendered(figure), path)
