"""Log images with any logger that takes them."""

from typing import TYPE_CHECKING

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

if TYPE_CHECKING:
    from PIL.Image import Image


def log_picture(logger: Logger, key: str, picture: "Image", step: int) -> None:
    """Log an image with W&B's, TensorBoard's or MLflow's logger; do nothing with any other.

    Args:
        logger: the logger.
        key: name of the image, with slashes between sections; MLflow's file is ``<key>.png``.
        picture: the image.
        step: optimizer steps so far.
    """
    picture = picture.convert("RGB")
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [picture], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, np.asarray(picture), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, artifact_file=f"{key}.png")
