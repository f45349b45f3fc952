"""The checkpoints of a run: ``last.ckpt`` to go on from at any time, ``final.ckpt`` when everything is done."""

import os
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.interruption import Interruption
from nested_lightning.callbacks.signals import EndRequests
from nested_lightning.errors import CheckpointError, ConfigurationError
from nested_lightning.module import as_nested
from nested_lightning.utils.provenance import provenance


class RunCheckpoint(ModelCheckpoint):
    """Write ``last.ckpt`` after every epoch and every few steps, and ``final.ckpt`` after calibration.

    Both lie in ``<default_root_dir>/checkpoints``. There is no "best" checkpoint: the losses of different stages
    cannot be compared, and the cascade restores the best weights of each stage itself. ``--ckpt_path last`` (or
    ``Trainer.fit(ckpt_path="last")``) goes on from ``last.ckpt``, from the middle of an epoch too. Ctrl-C and SIGTERM
    end training after the step or the validation that they fall into, with ``last.ckpt`` written. A second Ctrl-C ends
    it at once, and so does the first with several processes; on SIGTERM calibration is completed.

    Every checkpoint has the run's :func:`~nested_lightning.utils.provenance.provenance`, and every logger is given it
    as a hyperparameter.

    Args:
        every_n_steps: optimizer steps between two ``last.ckpt`` within an epoch.

    Attributes:
        how_to_go_on: what the message after Ctrl-C says; the command line puts the command here.

    Raises:
        ConfigurationError: ``every_n_steps`` is not positive.
        CheckpointError: the folder holds another run's ``last.ckpt`` and the run does not resume from it.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ConfigurationError(f"checkpoint.every_n_steps must be at least 1, got {every_n_steps}")
        super().__init__(save_last=True, save_top_k=0)
        self.every_n_steps = every_n_steps
        self.how_to_go_on = 'Trainer.fit(..., ckpt_path="last")'
        self._interruption = Interruption()
        self._end_requests = EndRequests()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._find_folder(trainer)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not in setup: there the trainer does not know yet whether it resumes.
        resumed = os.path.abspath(trainer.ckpt_path) if trainer.ckpt_path else ""
        other = os.path.dirname(resumed) != self.dirpath and not trainer.fast_dev_run  # type: ignore[attr-defined]
        if other and os.path.exists(self.last_model_path):
            raise CheckpointError(
                f"{self.last_model_path} belongs to an earlier run and would be overwritten: resume that run with "
                'ckpt_path="last", or choose another default_root_dir'
            )

    def _find_folder(self, trainer: L.Trainer) -> None:
        self.dirpath = os.path.join(os.path.abspath(trainer.default_root_dir), "checkpoints")
        self.last_model_path = os.path.join(self.dirpath, "last.ckpt")

    def _find_last_checkpoints(self, trainer: L.Trainer) -> set[str]:
        # Asked for ckpt_path="last" before setup; without a folder Lightning looks where the logger writes.
        self._find_folder(trainer)
        return super()._find_last_checkpoints(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step = trainer.global_step
        self._end_requests.listen()
        self._listen(trainer)  # a run resumed within an epoch does not start that epoch
        for logger in trainer.loggers:
            logger.log_hyperparams({"provenance": provenance()})

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._listen(trainer)
        # Saved at the end of the epoch before; by now its figures are logged, too.
        if self._end_requests.any_received(trainer):
            raise SIGTERMException

    def _listen(self, trainer: L.Trainer) -> None:
        if trainer.world_size == 1:
            self._interruption.listen()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # Between two steps there may be accumulated gradients, which a checkpoint does not hold.
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        # At the last batch Lightning would resume behind the epoch, without its validation: the epoch's end saves.
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if not stepped or is_last:
            return
        ends = self._end_requests.any_received(trainer)
        if ends or self._interruption.requested or trainer.global_step % self.every_n_steps == 0:
            self._save(trainer, "last.ckpt")
        if ends:
            raise SIGTERMException
        self._interruption.follow()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer, "last.ckpt")
        self._interruption.stop()  # behind the last epoch, in calibration, there is nothing to wait for
        self._interruption.follow()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do nothing: within validation the stage and the counters of batches may disagree."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        calibrators = [c for c in trainer.callbacks if isinstance(c, Calibrator)]  # type: ignore[attr-defined]
        if as_nested(pl_module).stage.finished and all(c.done for c in calibrators):
            self._save(trainer, "final.ckpt")
        self._save(trainer, "last.ckpt")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._interruption.stop()
        if trainer.global_step > 0 and os.path.exists(self.last_model_path):
            rank_zero_info(f"Interrupted. {self.last_model_path} is saved. To go on: {self.how_to_go_on}")

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["provenance"] = provenance()

    def _save(self, trainer: L.Trainer, name: str) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(os.path.join(str(self.dirpath), name), weights_only=False)
