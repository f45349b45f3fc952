"""Show where in the cascade a run is, and how long it may still take."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.markup import escape

from nested_lightning.module import as_nested
from nested_lightning.stage import Stage
from nested_lightning.utils.console import duration, on_terminal

T = TypeVar("T")


class StageProgress(RichProgressBar):
    """Show stage, level and epoch, the best loss, the patience left and the longest time still needed.

    A terminal shows a progress bar; a line after every epoch is always printed. The time assumes that all epochs of the
    plan are run, each as long as the last one: stages mostly end earlier, but later ones train more of the network.

    Args:
        refresh_rate: how often the bar is redrawn per second; without a terminal it is not.
    """

    def __init__(self, refresh_rate: int = 4) -> None:
        super().__init__(refresh_rate=refresh_rate if on_terminal() else 0)
        self._seconds: float | None = None
        self._ended: Stage | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._begin_epoch(trainer)  # there is no on_train_epoch_start after resuming within an epoch

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin_epoch(trainer)  # Lightning's method asks for the description
        super().on_train_epoch_start(trainer, pl_module)

    def on_stage_end(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: Stage) -> None:
        """Keep the stage's best loss for the line of its last epoch."""
        self._ended = stage

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        metrics = trainer.callback_metrics  # computed by all processes together
        if not trainer.is_global_zero:
            return
        self._seconds = time.monotonic() - self._started
        values = [f"{key} {float(metrics[key]):.4f}" for key in ("train/loss", "val/loss") if key in metrics]
        known = [name for name in as_nested(pl_module).taxonomy.levels if f"val/{name}/accuracy" in metrics]
        if known:
            values.append(f"{known[-1]} accuracy {100 * float(metrics[f'val/{known[-1]}/accuracy']):.2f} %")
        print(" | ".join([self._place, *values, f"{self._seconds:.1f} s", *self._outlook(trainer)]), flush=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.teardown(trainer, pl_module, "fit")  # a bar would overlap the table that may follow

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "validate":
            self.teardown(trainer, pl_module, "validate")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_test_end(trainer, pl_module)
        self.teardown(trainer, pl_module, "test")

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        return super().configure_columns(trainer)[:-1]  # batches per second

    def _get_train_description(self, current_epoch: int) -> str:
        """Replace Lightning's "Epoch 7" by two lines; Lightning has no public hook for it."""
        return escape("\n".join([_place(self.trainer), " | ".join(self._outlook(self.trainer))]))

    def tracked(self, steps: Iterable[T], total: float, description: str) -> Iterator[T]:
        """Yield ``steps`` of work outside the epochs, with their own progress bar."""
        if self.progress is None or self.is_disabled:
            yield from steps
            return
        task = self.progress.add_task(escape(description), total=total)
        for step in steps:
            yield step
            self.progress.advance(task)
            self.refresh()
        self.progress.update(task, visible=False)

    def _begin_epoch(self, trainer: L.Trainer) -> None:
        self._started, self._ended = time.monotonic(), None
        self._place = _place(trainer)

    def _outlook(self, trainer: L.Trainer) -> list[str]:
        """Return what is known about the rest; at the end of an epoch the next stage may have begun already."""
        stage = as_nested(trainer.lightning_module).stage
        if not stage.count:
            return []
        best = (self._ended or stage).best_loss
        outlook = [f"best {best:.4f}"] if best < math.inf else []
        if stage.finished:
            return outlook
        if stage.epoch:
            outlook.append(f"patience {stage.patience_left} of {stage.patience}")
        if self._seconds is not None:
            outlook.append(f"at most {duration(stage.epochs_left * self._seconds)}")
        return outlook


def _place(trainer: L.Trainer) -> str:
    module = as_nested(trainer.lightning_module)
    stage = module.stage
    if not stage.count:
        return f"epoch {trainer.current_epoch + 1}"
    level = module.taxonomy.levels[stage.level]
    return f"stage {stage.number}/{stage.count} {level} | epoch {stage.epoch + 1} of at most {stage.max_epochs}"
