"""Fill a W&B run with more than metrics and figures: taxonomy, stages, samples and the trained model."""

import html
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger

from nested_lightning.callbacks.evaluation import evaluate
from nested_lightning.callbacks.figures import worst_samples
from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule, as_nested
from nested_lightning.stage import Stage

if TYPE_CHECKING:
    import wandb
    from wandb.sdk.wandb_run import Run

    from nested_lightning.figures import Sample

_STAGE = ("level", "epochs", "first step", "last step", "best loss")
_LEAST_ROW = 64
"""The least bytes of a row in W&B's file: its time stamps and step alone take more."""


class WandbRun(Callback):
    """Fill the W&B run of a ``WandbLogger``; without such a logger, do nothing.

    - ``config.scheme``: ``nested``, ``traditional``, ``end to end``, or the name of the module's ``criterion``
    - ``taxonomy/classes`` and ``taxonomy/tree``: the leaves as a table, and the tree
    - ``cascade/stages``: the completed stages as a table, when training ends
    - ``samples/test`` (or ``samples/val`` without test samples): samples with their predictions as a table, the most
      confident mistakes first
    - an artifact of type ``model``: ``final.ckpt`` with levels, temperatures and metrics

    Place it after the cascade and the calibrating callbacks.

    Args:
        samples: the most samples in their table; 0: no table.
        model: whether ``final.ckpt`` becomes an artifact.

    Raises:
        ConfigurationError: ``samples`` is negative.

    Attributes:
        stages: of each completed stage its level, epochs, first and last step, and best validation loss.
    """

    def __init__(self, samples: int = 100, model: bool = True) -> None:
        if samples < 0:
            raise ConfigurationError(f"wandb.samples must be at least 0, got {samples}")
        self.samples, self.model = samples, model
        self.stages: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"stages": self.stages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stages = state_dict["stages"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._new = False
        if stage == "fit":
            self.stages = []
        if run := wandb_run(trainer):
            step = _after_rows(run)
            self._new = not run.resumed and step == 0
            if run.offline and step:
                # Offline, W&B does not know the last step of a resumed run; new rows must have larger steps.
                run.log({}, step=step, commit=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if not (run := wandb_run(trainer)):
            return
        run.config.update({"scheme": scheme(module)}, allow_val_change=True)
        if self._new:
            import wandb

            taxonomy = module.taxonomy
            tree = wandb.Html(f"<pre>{html.escape(taxonomy.show())}</pre>", inject=False)
            classes = wandb.Table([*taxonomy.levels], [list(leaf) for leaf in taxonomy.leaves])
            run.log({"taxonomy/tree": tree, "taxonomy/classes": classes})

    def on_stage_end(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: Stage) -> None:
        """Add the stage to ``stages``."""
        level, first = as_nested(pl_module).taxonomy.levels[stage.level], 0
        if self.stages:
            first = self.stages[-1]["last step"]
        values = (level, stage.epoch, first, trainer.global_step, stage.best_loss)
        self.stages.append(dict(zip(_STAGE, values, strict=True)))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if not any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
            return
        evaluation = evaluate(trainer, module) if module.stage.finished else None  # by every process
        if not (run := wandb_run(trainer)):
            return
        import wandb

        if self.stages:
            rows = [[number, *stage.values()] for number, stage in enumerate(self.stages, start=1)]
            run.log({"cascade/stages": wandb.Table(["stage", *_STAGE], rows)})
        # Without a measurement an earlier process has evaluated the model, and has logged its samples.
        if evaluation is not None and evaluation.measured is not None and self.samples:
            samples = worst_samples(evaluation.measured, module.taxonomy, self.samples)
            run.log({f"samples/{evaluation.split}": _samples_table(samples, module.taxonomy.levels)})

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # After on_train_end of every callback; the last of them writes the file.
        final = Path(trainer.default_root_dir, "checkpoints", "final.ckpt")
        if self.model and final.exists() and as_nested(pl_module).stage.finished and (run := wandb_run(trainer)):
            import wandb

            metadata = _metadata(as_nested(pl_module))
            artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=metadata)
            artifact.add_file(str(final), policy="immutable")  # the file no longer changes, so W&B need not copy it
            run.log_artifact(artifact)


def _metadata(module: NestedLightningModule) -> dict[str, Any]:
    evaluation, levels = module.evaluation, module.taxonomy.levels
    after = evaluation.after.items() if evaluation else ()
    return {
        "levels": dict(zip(levels, module.taxonomy.sizes, strict=True)),
        "scheme": scheme(module),
        "temperatures": dict(zip(levels, module.temperatures.tolist(), strict=True)),
        "metrics": {f"{evaluation.split}/{name}": value for name, value in after} if evaluation else {},
    }


def _samples_table(samples: "Sequence[Sample]", levels: Sequence[str]) -> "wandb.Table":
    """Return a table with a row per sample.

    Columns: ``row``, its number; ``input``, an image or a text; ``label``, its known path; per level ``LEVEL`` and
    ``LEVEL confidence``, the prediction before it is cut; ``depth``, the number of levels predicted; ``rejected``,
    whether it is 0; ``mistake``, whether any level is incorrect, cut or not.
    """
    import wandb

    predicted = [column for level in levels for column in (level, f"{level} confidence")]
    columns: list[str | int] = ["row", "input", "label", *predicted, "depth", "rejected", "mistake"]
    rows = []
    for sample in samples:
        viewed = wandb.Image(sample.input) if isinstance(sample.input, np.ndarray) else sample.input
        pairs = [value for pair in zip(sample.prediction, sample.confidence, strict=True) for value in pair]
        rows.append(
            [sample.row, viewed, sample.label, *pairs, sample.depth, sample.depth == 0, False in sample.correct]
        )
    return wandb.Table(columns, rows)


def wandb_run(trainer: L.Trainer) -> "Run | None":
    """Return the W&B run of the trainer's first ``WandbLogger``.

    None without such a logger, in all processes but the first, and where W&B is disabled.
    """
    loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    run = loggers[0].experiment if loggers and trainer.is_global_zero else None
    return None if run is None or run.disabled else run


def log_options(run: "Run", config: str | os.PathLike[str]) -> None:
    """Add the options in the file ``config`` to the W&B config, and the file itself as ``options.yaml``."""
    with open(config, encoding="utf-8") as file:
        run.config.update(yaml.safe_load(file), allow_val_change=True)
    own = Path(run.dir, "options.yaml")
    shutil.copyfile(config, own)
    run.save(own, base_path=run.dir, policy="now")


def scheme(module: NestedLightningModule) -> str:
    """Return the scheme of training, named like the recipes' variants."""
    if module.stage.count > 1:
        return "nested"
    if module.criterion is not None:
        return str(getattr(module.criterion, "__name__", type(module.criterion).__name__))
    return "traditional" if module.loss_weights[:-1].any() else "end to end"


def _after_rows(run: "Run") -> int:
    """Return a step larger than all steps that earlier processes have logged in this folder under the run's id."""
    own = Path(run.dir).parent
    files = own.parent.glob(f"*run-*/run-{run.id}.wandb")
    return (
        sum(file.stat().st_size for file in files if file.parent != own and not file.parent.is_symlink()) // _LEAST_ROW
    )
