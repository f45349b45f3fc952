"""What a W&B run holds besides figures and numbers: options, taxonomy, stages, samples and the trained model."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from nested_lightning.callbacks.cascade import cascade_of
from nested_lightning.callbacks.final import Final
from nested_lightning.callbacks.report import reported_figures
from nested_lightning.callbacks.samples import worst_samples
from nested_lightning.callbacks.wandb_tables import samples_table, stages_table, taxonomy_table, taxonomy_tree
from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule, as_nested

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

_LEAST_ROW = 64
"""Bytes that a row takes in W&B's file at least: its time stamps and step alone are more."""


class WandbRun(Callback):
    """Fill the W&B run of a ``WandbLogger``; without such a logger, do nothing.

    - ``config.scheme``: ``nested``, ``traditional``, ``end to end``, or the name of the module's ``criterion``
    - ``taxonomy/classes`` and ``taxonomy/tree``: the leaves as a table, and the tree
    - ``cascade/stages``: the stages as a table, when training ends
    - ``samples/test`` (or ``samples/val``, where there are no test rows): rows with their answers as a table, the most
      confident mistakes first
    - an artifact of type ``model``: ``final.ckpt`` with levels, temperatures and figures

    Place it after the cascade, the calibrating callbacks and ``Report``.

    Args:
        samples: the most rows of the table of samples; 0: no table.
        model: whether ``final.ckpt`` becomes an artifact.

    Raises:
        ConfigurationError: ``samples`` is negative.

    Attributes:
        stages: of each stage so far its level, epochs, first and last step, and best validation loss.
    """

    def __init__(self, samples: int = 100, model: bool = True) -> None:
        if samples < 0:
            raise ConfigurationError(f"wandb.samples must be at least 0, got {samples}")
        self.samples, self.model = samples, model
        self.stages: list[dict[str, Any]] = []
        self._final: Final | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"stages": self.stages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stages = state_dict["stages"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._new = False
        if stage == "fit":
            self.stages = []
        if run := wandb_run(trainer):
            behind = _rows_before(run)
            self._new = not run.resumed and behind == 0
            if run.offline and behind:
                # Where W&B cannot ask its server for the last step, the rows of a run that goes on must lie behind it.
                run.log({}, step=behind, commit=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        self._level = module.stage.level
        if not (run := wandb_run(trainer)):
            return
        run.config.update({"scheme": scheme(trainer, module)}, allow_val_change=True)
        if self._new:
            tree, classes = taxonomy_tree(module.taxonomy), taxonomy_table(module.taxonomy)
            run.log({"taxonomy/tree": tree, "taxonomy/classes": classes})

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        trained, self._level = self._level, module.stage.level  # the cascade may be in the next stage already
        level, loss = module.taxonomy.levels[trained], float(trainer.callback_metrics.get("val/loss", float("nan")))
        if not self.stages or self.stages[-1]["level"] != level:
            first = self.stages[-1]["last step"] if self.stages else 0
            self.stages.append({"level": level, "epochs": 0, "first step": first, "best loss": loss})
        stage = self.stages[-1]
        stage["epochs"] += 1
        stage["last step"] = trainer.global_step
        stage["best loss"] = min(stage["best loss"], loss)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if not any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
            return
        self._final = reported_figures(trainer, module) if module.stage.finished else None  # on every process
        if not (run := wandb_run(trainer)):
            return
        if self.stages:
            run.log({"cascade/stages": stages_table(self.stages)})
        measured = self._final and self._final.measured  # nothing where an earlier process has calibrated and logged it
        if self._final and measured and self.samples:
            samples = worst_samples(measured, module.taxonomy, self.samples)
            run.log({f"samples/{self._final.split}": samples_table(samples, module.taxonomy.levels)})

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Behind on_train_end of every callback, where the file is written last.
        final = Path(trainer.default_root_dir, "checkpoints", "final.ckpt")
        if self.model and final.exists() and as_nested(pl_module).stage.finished and (run := wandb_run(trainer)):
            import wandb

            artifact = wandb.Artifact(
                f"model-{run.id}", "model", metadata=self._metadata(trainer, as_nested(pl_module))
            )
            artifact.add_file(str(final), policy="immutable")  # it is not changed any more: no copy
            run.log_artifact(artifact)

    def _metadata(self, trainer: L.Trainer, module: NestedLightningModule) -> dict[str, Any]:
        figures = (
            {f"{self._final.split}/{name}": value for name, value in self._final.after.items()} if self._final else {}
        )
        return {
            "levels": dict(zip(module.taxonomy.levels, module.taxonomy.sizes, strict=True)),
            "scheme": scheme(trainer, module),
            "temperatures": dict(zip(module.taxonomy.levels, module.temperatures.tolist(), strict=True)),
            "metrics": figures,
        }


def wandb_run(trainer: L.Trainer) -> "Run | None":
    """Return the W&B run of the trainer's first ``WandbLogger``.

    None without such a logger, in all processes but one, and where W&B is disabled.
    """
    loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    run = loggers[0].experiment if loggers and trainer.is_global_zero else None
    return None if run is None or run.disabled else run


def log_options(run: "Run", config: str | os.PathLike[str]) -> None:
    """Put the options of a run into its W&B config, and the file ``config`` beside W&B's own file of that name."""
    with open(config, encoding="utf-8") as file:
        run.config.update(yaml.safe_load(file), allow_val_change=True)
    own = Path(run.dir, "options.yaml")
    shutil.copyfile(config, own)
    run.save(own, base_path=run.dir, policy="now")


def scheme(trainer: L.Trainer, module: NestedLightningModule) -> str:
    """Return how a module is trained, in the words of the recipes' variants."""
    cascade = cascade_of(trainer)
    if cascade is not None and len(cascade.plan) > 1:
        return "nested"
    if module.criterion is not None:
        return str(getattr(module.criterion, "__name__", type(module.criterion).__name__))
    return "traditional" if module.loss_weights[:-1].any() else "end to end"


def _rows_before(run: "Run") -> int:
    """Return a number that is larger than that of all rows logged in this folder under the run's id so far."""
    own = Path(run.dir).parent
    files = own.parent.glob(f"*run-*/run-{run.id}.wandb")
    return (
        sum(file.stat().st_size for file in files if file.parent != own and not file.parent.is_symlink()) // _LEAST_ROW
    )
