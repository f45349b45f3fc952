"""Save the weights at the end of each stage, before calibration."""

import os

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from nested_lightning.module import as_nested
from nested_lightning.stage import Stage


class StageWeights(Checkpoint):
    """Write ``checkpoints/stage-1-coarse.ckpt`` and so on when a stage has ended and its best weights are restored.

    The number is that of the stage's level, from 1 for the coarsest, so that a level has the same name in every scheme
    of training. A file has the same content as ``last.ckpt`` and is loaded in the same ways. Parts of later levels are
    as they were initialised, and nothing is calibrated: the last stage's file is the uncalibrated model.
    """

    _ended: Stage | None = None

    def on_stage_end(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: Stage) -> None:
        """Remember to save the stage once all other callbacks have ended the epoch."""
        self._ended = stage

    # Lightning calls Checkpoint callbacks after all others.
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        stage, self._ended = self._ended, None
        if stage is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            name = f"stage-{stage.level + 1}-{as_nested(pl_module).taxonomy.levels[stage.level]}.ckpt"
            trainer.save_checkpoint(os.path.join(trainer.default_root_dir, "checkpoints", name), weights_only=False)
