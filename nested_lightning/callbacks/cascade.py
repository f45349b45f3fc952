"""Cascaded training (Sec. 4.3, C.2): one stage per level, coarse to fine, in a single ``fit``."""

from dataclasses import replace
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn import Parameter

from nested_lightning.callbacks.best_weights import copy_of_changing, restore
from nested_lightning.callbacks.companions import (
    begin_averages,
    current_weights,
    refuse_companions,
    warn_of_other_rates,
)
from nested_lightning.callbacks.evaluation import has_validation
from nested_lightning.callbacks.schedule import PlannedStage, plan_stages
from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule, as_nested
from nested_lightning.stage import Stage, StageData
from nested_lightning.utils.hparams import plain
from nested_lightning.utils.random import reseed


class CascadeTraining(Callback):
    """Train level after level: stage i trains everything up to level i and does not run finer parts.

    A stage ends when the validation loss has not improved for ``patience`` epochs, or after ``max_epochs``. Its best
    weights are restored, and the next stage starts with a fresh optimizer, its own learning rate and its own samples.
    ``learning_rate``, ``max_epochs`` and ``plateau_factor`` are one value for all stages or a list with one value per
    stage. A parameter that did not require a gradient before training stays frozen throughout, and a part of the
    network that has only frozen parameters stays in evaluation mode.

    The stage is ``module.stage``. When a stage has ended and its best weights are restored, every callback of the
    trainer that has a method ``on_stage_end(trainer, module, stage)`` is called with the stage that ended; ``finished``
    is set for the last one.

    Epochs are counted per stage. ``Trainer(max_epochs=N)`` limits their sum: training then stops wherever it is,
    and nothing is calibrated unless that is in the last stage.

    Args:
        stages: the levels to stop at, by name or index, coarse to fine, ending with the finest. None: every level (the
            paper). The finest alone is training in one go; with ``stage_data="all"`` that is the "traditional"
            scheme of Sec. 5.
        stage_data: ``"exact"``: a stage sees the samples labelled up to its level and no further (D_i, the paper), or
            if there are none the samples labelled further;
            ``"all"``: every sample, unknown levels masked out of the loss. Users' own data loaders, without a
            :class:`~nested_lightning.data.HierarchicalDataModule`, give all their samples in every stage.
        learning_rate: None: 2e-3, halved from stage to stage (C.2); for a single stage 1e-3.
        max_epochs: the most epochs of a stage. None: 100, for the last of several 200.
        patience: epochs without improvement after which a stage ends.
        min_delta: the least decrease of the validation loss that counts as an improvement.
        plateau_patience: epochs without improvement after which the learning rate is multiplied by
            ``plateau_factor``.
        plateau_factor: factor of the learning rate on a plateau.

    Raises:
        ConfigurationError: values that do not fit the levels; no validation data; options or callbacks of the trainer
            that cannot work beside it; on resuming, other stages.
    """

    _SAVED = ("index", "epoch", "epochs_in_all", "best", "bad_epochs", "best_state", "finished")

    def __init__(
        self,
        stages: list[str | int] | None = None,
        stage_data: StageData = "exact",
        learning_rate: float | list[float] | None = None,
        max_epochs: int | list[int] | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        plateau_patience: int = 5,
        plateau_factor: float | list[float] = 0.2,
    ) -> None:
        if patience < 1 or plateau_patience < 1:
            raise ConfigurationError("cascade.patience and cascade.plateau_patience must be at least 1")
        self.stages = plain(stages)
        self.stage_data: StageData = stage_data
        self.learning_rate = plain(learning_rate)
        self.max_epochs = plain(max_epochs)
        self.patience = patience
        self.min_delta = min_delta
        self.plateau_patience = plateau_patience
        self.plateau_factor = plain(plateau_factor)
        self.plan: list[PlannedStage] = []
        self.finished = False
        self.epochs_in_all = 0
        self._cap: int | None = None
        self._module: NestedLightningModule | None = None
        self._frozen: list[Parameter] = []
        self._reset(0)

    def _reset(self, index: int) -> None:
        self.index = index
        self.epoch = 0
        self.best = float("inf")
        self.bad_epochs = 0
        self.best_state: dict[str, Tensor] | None = None
        self._validated: dict[str, Tensor] | None = None

    @property
    def planned(self) -> PlannedStage:
        """The plan of the current stage."""
        return self.plan[self.index]

    def state_dict(self) -> dict[str, Any]:
        saved = {name: getattr(self, name) for name in self._SAVED}
        return {**saved, "levels": [stage.level for stage in self.plan]}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        module = as_nested(pl_module)
        self.plan = plan_stages(
            module.taxonomy.levels, self.stages, self.max_epochs, self.learning_rate, self.plateau_factor
        )
        refuse_companions(trainer, module.taxonomy.levels, [stage.level for stage in self.plan])
        if self._module is not module:
            self._module = module
            self._frozen = [p for p in module.parameters() if not p.requires_grad]
        self.finished, self.epochs_in_all = False, 0
        self._reload = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
        self._reset(0)
        loop = trainer.fit_loop
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.plan = [stage._replace(max_epochs=1) for stage in self.plan]
            loop.max_epochs = loop.epoch_loop.max_steps = -1
        elif loop.max_epochs != -1:
            # With a finite limit, a run killed after its last epoch would resume as done and never calibrate.
            self._cap, loop.max_epochs = loop.max_epochs, -1
        self._enter(module)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        # The strategy is set up after this: DDP and the optimizer get the parameters of the saved stage.
        saved = checkpoint["callbacks"].get(self.state_key)
        if saved is None:
            return
        if trainer.state.fn != "fit":
            if not saved["finished"]:
                rank_zero_warn(
                    f"This checkpoint is of an unfinished training, in stage {saved['index'] + 1} of "
                    f"{len(saved['levels'])}: predictions of finer levels mean nothing yet. Resume the training with "
                    'ckpt_path="last" first'
                )
            return
        levels = as_nested(pl_module).taxonomy.levels
        old, new = saved["levels"], [stage.level for stage in self.plan]
        if old != new:
            raise ConfigurationError(
                f"the checkpoint comes from a cascade with the stages {[levels[i] for i in old]}, this one has "
                f"{[levels[i] for i in new]}: resume with the cascade.stages that the run was started with"
            )
        for name in self._SAVED:
            setattr(self, name, saved[name])
        self._enter(as_nested(pl_module))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not has_validation(trainer):
            raise ConfigurationError(
                "cascaded training ends a stage when the validation loss stagnates, but there is no validation "
                "data: set data.validation, or pass val_dataloaders to Trainer.fit"
            )
        self._prepare(trainer, as_nested(pl_module))
        if self.learning_rate is not None and not self.epoch:
            warn_of_other_rates(trainer, self.planned.learning_rate)
        trainer.should_stop = trainer.should_stop or self.finished
        self._stop_at_cap(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.reload_dataloaders_every_n_epochs = self._reload  # type: ignore[attr-defined]
        self._prepare(trainer, as_nested(pl_module))

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        # After the data loader, which draws more or fewer random numbers when resuming.
        reseed(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not (self.finished or self._capped or trainer.fast_dev_run):  # type: ignore[attr-defined]
            rank_zero_warn(
                f"Training was stopped in stage {self.index + 1} of {len(self.plan)}: nothing is calibrated, and "
                'there is no final.ckpt. To continue, resume with ckpt_path="last"'
            )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        begin_averages(trainer, as_nested(pl_module), anew=False)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the weights that were validated: before the epoch ends, other callbacks may prune or average them."""
        loss = trainer.callback_metrics.get("val/loss")
        if trainer.state.fn == "fit" and not trainer.sanity_checking and loss is not None:
            better, module = float(loss) < self.best - self.min_delta, as_nested(pl_module)
            self._validated = copy_of_changing(module, current_weights(trainer, module)) if better else None

    # Not in on_validation_end, where a checkpoint would pair the next stage with the batch counters of this one.
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        groups = trainer.optimizers[0].param_groups
        if "val/loss" not in trainer.callback_metrics:
            raise ConfigurationError(
                f"cascaded training needs the metric 'val/loss', which {type(module).__name__} does not log: log it in "
                "validation_step"
            )
        loss = float(trainer.callback_metrics["val/loss"])
        rate = max(group["lr"] for group in groups)
        values = {"stage": self.index + 1, "epoch": self.epoch + 1, "learning_rate": rate}
        module.log_dict({f"cascade/{name}": float(value) for name, value in values.items()})
        if loss < self.best - self.min_delta:
            self.best, self.bad_epochs = loss, 0
            self.best_state = self._validated or copy_of_changing(module, current_weights(trainer, module))
        else:
            self.bad_epochs += 1
            if self.bad_epochs % self.plateau_patience == 0:
                for group in groups:
                    group["lr"] *= self.planned.plateau_factor
        self.epoch += 1
        self.epochs_in_all += 1
        self._enter(module)
        last = self.index == len(self.plan) - 1
        stagnated = self.bad_epochs >= self.patience
        stage = replace(module.stage, finished=last)
        ends = stagnated or self.epoch >= self.planned.max_epochs or (last and self._capped)
        if ends:
            self._end_stage(trainer, module, last)
        self._stop_at_cap(trainer)
        if ends:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if hasattr(callback, "on_stage_end"):
                    callback.on_stage_end(trainer, module, stage)

    @property
    def _capped(self) -> bool:
        return self._cap is not None and self.epochs_in_all >= self._cap

    def _stop_at_cap(self, trainer: L.Trainer) -> None:
        if not self._capped or self.finished:
            return
        trainer.should_stop = True
        rank_zero_warn(
            f"Training stopped after trainer.max_epochs={self._cap} epochs, in stage {self.index + 1} of "
            f"{len(self.plan)}: finer levels are not trained and nothing is calibrated. To continue, resume with a "
            "larger trainer.max_epochs; to shorten the stages, set cascade.max_epochs instead."
        )

    def _end_stage(self, trainer: L.Trainer, module: NestedLightningModule, last: bool) -> None:
        if self.best_state is not None:
            restore(module, self.best_state)
        begin_averages(trainer, module)
        if last:
            self.finished = trainer.should_stop = True
            self.best_state = None  # the module has them
            self._enter(module)
            return
        self._reset(self.index + 1)
        self._enter(module)
        strategy: Any = trainer.strategy
        if hasattr(strategy, "configure_ddp"):
            # DDP synchronises only the parameters that required a gradient when it wrapped the module.
            strategy.model = module
            strategy.configure_ddp()
        strategy.setup_optimizers(trainer)
        trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def _enter(self, module: NestedLightningModule) -> None:
        """Set the module's stage, and let only the parts up to its level train."""
        level, max_epochs, learning_rate, _ = self.planned
        module.stage = Stage(
            level,
            self.epoch,
            self.stage_data,
            learning_rate,
            self.finished,
            self.index + 1,
            len(self.plan),
            max_epochs,
            epochs_left=sum(stage.max_epochs for stage in self.plan[self.index :]) - self.epoch,
            best_loss=self.best,
            patience=self.patience,
            patience_left=self.patience - self.bad_epochs,
        )
        # By identity: pruning renames parameters.
        frozen = {id(p) for i in range(level + 1, module.taxonomy.n_levels) for p in _parameters(module, i)}
        frozen.update(map(id, self._frozen))
        for parameter in module.parameters():
            parameter.requires_grad_(id(parameter) not in frozen)

    def _prepare(self, trainer: L.Trainer, module: NestedLightningModule) -> None:
        """Set frozen parts to evaluation mode, and seed the random numbers of this epoch."""
        module.network.train()
        for part in module.network.modules():
            parameters = list(part.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                part.eval()
        reseed(trainer)


def _parameters(module: NestedLightningModule, level: int) -> list[Tensor]:
    return [parameter for part in module.network.parts(level) for parameter in part.parameters()]
