"""The figures of a run, as files and in every logger that takes pictures."""

import time
from pathlib import Path
from typing import Any, Literal, get_args

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.seed import isolate_rng

from nested_lightning.callbacks.evaluation import measure, run_network
from nested_lightning.callbacks.final import Final
from nested_lightning.callbacks.pictures import write_drawings
from nested_lightning.callbacks.report import reported_figures
from nested_lightning.callbacks.samples import worst_samples
from nested_lightning.callbacks.summary import tested_loaders, write_json, write_summary
from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule, as_nested

When = Literal["stages", "end", "never"]


class Figures(Callback):
    """Draw what the model answers, at the end of every stage and when training is done, and write ``summary.json``.

    Each figure has a name such as ``figures/reliability``: ``<default_root_dir>/figures/reliability.png`` is its file,
    and it is the key in every logger that takes pictures (W&B, TensorBoard, MLflow). At the end the test rows are
    measured, or the validation rows where there are none; ``figures/uncalibrated/...`` is as before calibration.
    ``figures/stage-1-LEVEL/...`` is of the validation rows as a stage of the cascade ended that is not the last.
    ``summary.json`` is for ``lightning report``.

    ``Trainer.test`` with several loaders, as with ``data.distortions``, draws ``figures/distortions``.

    Place it behind the cascade, the calibrating callbacks and ``Report``. A figure that fails is told in a warning and
    ends no training.

    Args:
        draw: ``"stages"``: all figures; ``"end"``: none at the end of stages; ``"never"``: none, only
            ``summary.json``.
        samples: rows on the sheet of samples; 0: no sheet.

    Raises:
        ConfigurationError: another value of ``draw``, or a negative number of samples.
    """

    def __init__(self, draw: When = "stages", samples: int = 12) -> None:
        if draw not in get_args(When):
            raise ConfigurationError(f"figures.draw is one of {', '.join(get_args(When))}; got {draw!r}")
        if samples < 0:
            raise ConfigurationError(f"figures.samples must be at least 0, got {samples}")
        self.draw: When = draw
        self.samples = samples
        self._reset()

    def _reset(self) -> None:
        self.epochs: list[dict[str, float | str]] = []
        self._earlier, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, that of processes before this one included."""
        return self._earlier + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._earlier = state_dict["epochs"], state_dict["seconds"]
        self._started = time.monotonic()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":  # on resuming, what was is restored after this
            self._reset()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stage = as_nested(pl_module).stage

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        trained, self._stage = self._stage, module.stage
        levels = module.taxonomy.levels[: trained.level + 1]
        keys = ("train/loss", "val/loss", *(f"val/{level}/accuracy" for level in levels))
        logged = {key: float(trainer.callback_metrics[key]) for key in keys if key in trainer.callback_metrics}
        self.epochs.append({"stage": levels[-1], **logged})
        # As the last stage ended is how the model is before calibration: that is drawn at the end.
        if self._stage.level != trained.level and self.draw == "stages" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._end_stage(trainer, module, trained.level)

    def _end_stage(self, trainer: L.Trainer, module: NestedLightningModule, level: int) -> None:
        with isolate_rng():  # training goes on as if nothing had been drawn
            measured = measure(module, run_network(trainer, module, trainer.val_dataloaders, up_to=level))
        if trainer.is_global_zero:
            from nested_lightning.callbacks import run_figures as of_run

            stage = of_run.level_name(level, module.taxonomy.levels[level])
            drawings = of_run.of_levels(measured.metrics, measured.answers, level + 1)
            write_drawings(trainer, drawings, f"stage-{stage}/")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if trainer.fast_dev_run or not module.stage.finished:  # type: ignore[attr-defined]
            return
        final = reported_figures(trainer, module)
        # Where an earlier process has calibrated, it has drawn too.
        if final is None or final.measured is None or not trainer.is_global_zero:
            return
        write_summary(trainer, module, final, self.epochs, self.seconds)
        if self.draw != "never":
            self._draw_end(trainer, module, final)

    def _draw_end(self, trainer: L.Trainer, module: NestedLightningModule, final: Final) -> None:
        from nested_lightning.callbacks import run_figures as of_run

        levels, measured, before = module.taxonomy.levels, final.measured, final.measured_before
        assert measured is not None
        write_drawings(trainer, of_run.of_levels(measured.metrics, measured.answers, len(levels)))
        write_drawings(trainer, of_run.of_answers(measured.metrics, measured.answers))
        write_drawings(trainer, of_run.of_training(self.epochs, levels))
        if self.samples:
            samples = of_run.of_samples(lambda: worst_samples(measured, module.taxonomy, self.samples), levels)
            write_drawings(trainer, samples)
        if before is not None:
            write_drawings(trainer, of_run.of_levels(before.metrics, before.answers, len(levels)), "uncalibrated/")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        levels = as_nested(pl_module).taxonomy.levels
        tests = tested_loaders(trainer, levels)
        if len(tests) < 2 or self.draw == "never" or not trainer.is_global_zero:
            return
        from nested_lightning.callbacks import run_figures as of_run

        folder = Path(trainer.default_root_dir) / "figures"
        write_json(folder / "distortions.json", {"levels": list(levels), "tests": tests})
        write_drawings(trainer, of_run.of_distortions(tests, levels))
        print(f"Accuracy under each distortion: {folder / 'distortions.png'}")
