"""Pictures for any logger that takes them."""

from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

if TYPE_CHECKING:
    from PIL.Image import Image


def log_picture(logger: Logger, key: str, picture: "Image", step: int) -> None:
    """Give a picture to a logger that takes pictures; do nothing with any other.

    Args:
        logger: W&B's, TensorBoard's or MLflow's.
        key: its name, with slashes between sections.
        picture: as MLflow's file, ``key`` with ``.png`` behind it.
        step: optimizer steps so far.
    """
    picture = picture.convert("RGB")
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [picture], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, np.asarray(picture), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, artifact_file=f"{key}.png")
