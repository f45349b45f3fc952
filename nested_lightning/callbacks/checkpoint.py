"""The checkpoints of a run: ``last.ckpt`` to resume from at any time, ``final.ckpt`` when everything is done."""

import os
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from nested_lightning.callbacks.signals import EndRequests, Interruption
from nested_lightning.data.samplers import StageLoader
from nested_lightning.errors import CheckpointError, ConfigurationError, NestedLightningError
from nested_lightning.module import as_nested
from nested_lightning.utils.files import FolderLock
from nested_lightning.utils.provenance import provenance


class RunCheckpoint(ModelCheckpoint):
    """Write ``last.ckpt`` after every epoch and every few steps, and ``final.ckpt`` after calibration.

    Both are written to ``<default_root_dir>/checkpoints``. There is no "best" checkpoint: the losses of different
    stages cannot be compared, and the cascade restores the best weights of each stage itself.
    ``Trainer.fit(ckpt_path="last")`` resumes from ``last.ckpt``, even from the middle of an epoch. Ctrl-C and SIGTERM
    end training after the current step or validation and write ``last.ckpt``. A second Ctrl-C ends it at once, and so
    does the first with several processes. SIGTERM ends calibration at its next step; resuming then repeats it.

    While it trains, the run reserves its folder by the file ``run.lock``: another run into it is refused.

    Every checkpoint contains the run's :func:`~nested_lightning.utils.provenance.provenance`, and every logger gets it
    as a hyperparameter.

    Args:
        every_n_steps: optimizer steps between two ``last.ckpt`` within an epoch.

    Attributes:
        how_to_resume: what the message after Ctrl-C says; the command line sets it to the command.

    Raises:
        ConfigurationError: ``every_n_steps`` is not positive, or another run trains in the folder.
        CheckpointError: the folder holds another run's ``last.ckpt`` and the run does not resume from it.
    """

    def __init__(self, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise ConfigurationError(f"checkpoint.every_n_steps must be at least 1, got {every_n_steps}")
        super().__init__(save_last=True, save_top_k=0)
        self.every_n_steps = every_n_steps
        self.how_to_resume = 'Trainer.fit(..., ckpt_path="last")'
        self._interruption = Interruption()
        self._end_requests = EndRequests()
        self._lock: FolderLock | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._find_folder(trainer)
        if stage == "fit" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._reserve(trainer)

    def _reserve(self, trainer: L.Trainer) -> None:
        """Lock the folder, by the first process for all of them; if it is taken, every process ends."""
        error: NestedLightningError | None = None
        if trainer.is_global_zero:
            self._release()
            try:
                self._lock = FolderLock(trainer.default_root_dir)
            except NestedLightningError as refusal:
                error = refusal
        if (error := trainer.strategy.broadcast(error)) is not None:
            raise error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._release()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not in setup, where the trainer does not know yet whether it resumes.
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
        # Lightning calls this for ckpt_path="last" before setup; without a folder it would search the logger's.
        self._find_folder(trainer)
        return super()._find_last_checkpoints(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step = trainer.global_step
        self._end_requests.listen()
        self._listen(trainer)  # there is no on_train_epoch_start after resuming within an epoch
        if trainer.ckpt_path and not as_nested(pl_module).stage.finished:
            _return_to_place(trainer)
        for logger in trainer.loggers:
            logger.log_hyperparams({"provenance": provenance()})

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._listen(trainer)
        # The previous epoch was saved at its end; by now its metrics are logged, too.
        self._end_requests.follow(trainer)

    def _listen(self, trainer: L.Trainer) -> None:
        if trainer.world_size == 1:
            self._interruption.listen()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # Between two optimizer steps there may be accumulated gradients, which a checkpoint does not hold.
        stepped, self._step = trainer.global_step != self._step, trainer.global_step
        # Saved after the last batch, Lightning would resume after the epoch and skip its validation.
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if not stepped or is_last:
            return
        ends = self._end_requests.any_received(trainer)
        if ends or self._interruption.requested or trainer.global_step % self.every_n_steps == 0:
            self._save(trainer, "last.ckpt")
        if ends:
            raise SIGTERMException
        self._interruption.raise_held()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer, "last.ckpt")
        self._interruption.stop()  # after the last epoch, in calibration, there is nothing to wait for
        self._interruption.raise_held()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do not save: during validation the stage and the batch counters may disagree."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning calls Checkpoint callbacks last: calibration is done.
        if as_nested(pl_module).stage.finished:
            self._save(trainer, "final.ckpt")
        self._save(trainer, "last.ckpt")
        self._end_requests.forget()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._interruption.stop()
        self._release()
        self._end_requests.forget()
        if trainer.global_step > 0 and os.path.exists(self.last_model_path):
            rank_zero_info(f"Interrupted. {self.last_model_path} is saved. To resume: {self.how_to_resume}")

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["provenance"] = provenance()

    def _save(self, trainer: L.Trainer, name: str) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(os.path.join(str(self.dirpath), name), weights_only=False)


def _return_to_place(trainer: L.Trainer) -> None:
    """Let a resumed run's own training loaders return to their place, and warn of those that cannot."""
    loop: Any = trainer.fit_loop
    combined, progress = loop._combined_loader, loop.epoch_loop.batch_progress
    loaders = [] if combined is None else combined.flattened
    within = progress.current.completed > 0 and not progress.is_last_batch
    # Lightning leaves these out at the end of an epoch, where loaders of a data module need none.
    if (states := loop._combined_loader_states_to_load) and not any(isinstance(x, StageLoader) for x in loaders):
        combined._load_state_dicts(states)
        loop._combined_loader_states_to_load = []
    for loader in loaders:
        keeps = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        # Without a generator of its own, a loader shuffles with the seed that every epoch begins with.
        shuffles = getattr(getattr(loader, "sampler", None), "generator", None) is not None
        if not keeps and (within or shuffles):
            what = "begins the interrupted epoch's samples anew" if within else "shuffles in another order"
            rank_zero_warn(
                f"the training loader ({type(loader).__name__}) keeps no place, so the resumed run {what} and ends "
                "with other weights than an uninterrupted one: to resume exactly, use torchdata's "
                "StatefulDataLoader, or any loader with state_dict and load_state_dict"
            )
