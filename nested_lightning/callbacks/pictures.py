"""Drawings as files of a run and as pictures of its loggers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.loggers.pictures import log_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_drawings(
    trainer: L.Trainer, drawings: "Iterable[tuple[str, Callable[[], Figure]]]", within: str = ""
) -> None:
    """Draw each figure once; write it to ``<default_root_dir>/figures`` and give it to every logger that takes it.

    Args:
        trainer: tells where, and has the loggers.
        drawings: names, and the functions that draw.
        within: put before each name, such as ``"uncalibrated/"``.
    """
    from nested_lightning.figures.style import rendered, write_png

    for name, drawing in drawings:
        key = f"figures/{within}{name}"
        try:
            picture = rendered(drawing())
            write_png(picture, Path(trainer.default_root_dir) / f"{key}.png")
            for logger in trainer.loggers:
                log_picture(logger, key, picture, trainer.global_step)
        except Exception as error:  # whatever it is, it is not worth the training that it would end
            rank_zero_warn(f"{key} could not be drawn or written, the run goes on: {type(error).__name__}: {error}")
