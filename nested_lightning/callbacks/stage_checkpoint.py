"""The weights at the end of each stage, before calibration."""

import os

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from nested_lightning.module import as_nested


class StageWeights(Checkpoint):
    """Write ``checkpoints/stage-1-coarse.ckpt`` and so on when a stage has ended and its best weights are restored.

    The number is that of the stage's level, from 1 for the coarsest, so that the same level has the same name in every
    scheme of training. A file has what ``last.ckpt`` has and is loaded in the same ways. Parts of levels that are still
    to come are as they were initialised, and nothing is calibrated: the last stage's file is the uncalibrated model.

    As a ``Checkpoint`` it may stand anywhere in the list of callbacks: Lightning runs those behind the others, here
    behind the cascade that ends the stage.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not at the start of an epoch: that of a run which resumes in the middle of one is never called.
        self._level = as_nested(pl_module).stage.level

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        trained, self._level = self._level, module.stage.level
        ended = trained != self._level or module.stage.finished
        if ended and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            name = f"stage-{trained + 1}-{module.taxonomy.levels[trained]}.ckpt"
            trainer.save_checkpoint(os.path.join(trainer.default_root_dir, "checkpoints", name), weights_only=False)
