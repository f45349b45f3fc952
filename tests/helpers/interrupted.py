"""A run that ends in the middle of an epoch."""

from pathlib import Path
from typing import Any

import lightning as L


class KilledError(Exception):
    """Stands for a machine that fails."""


class SaveAndDie(L.Callback):
    """Save a checkpoint after a number of steps, and end the run one step later."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
        if trainer.global_step > self.step:
            raise KilledError
