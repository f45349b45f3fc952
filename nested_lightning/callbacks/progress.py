"""Progress that tells where in the cascade a run is, and how long it may still take."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from rich.markup import escape

from nested_lightning.callbacks.cascade import cascade_of
from nested_lightning.module import as_nested
from nested_lightning.utils.console import duration, on_terminal

T = TypeVar("T")


class StageProgress(RichProgressBar):
    """Show stage, level and epoch, the best loss, the patience left and the longest time that is still to come.

    On a terminal it is a bar, and anywhere a line after every epoch. The time is that of all epochs left in the plan,
    each taken to last as long as the last one did: stages mostly end before, but later ones train more of the network.

    Args:
        refresh_rate: redrawings of the bar per second; without a terminal there are none.
    """

    def __init__(self, refresh_rate: int = 4) -> None:
        super().__init__(refresh_rate=refresh_rate if on_terminal() else 0)
        self._seconds: float | None = None
        self._best = math.inf

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        # A run resumed within an epoch does not start that epoch.
        self._begin_epoch(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin_epoch(trainer)  # its description needs it
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        metrics = trainer.callback_metrics  # every process takes part in computing them
        if not trainer.is_global_zero:
            return
        self._seconds = time.monotonic() - self._started
        figures = [f"{key} {float(metrics[key]):.4f}" for key in ("train/loss", "val/loss") if key in metrics]
        known = [name for name in as_nested(pl_module).taxonomy.levels if f"val/{name}/accuracy" in metrics]
        if known:
            figures.append(f"{known[-1]} accuracy {100 * float(metrics[f'val/{known[-1]}/accuracy']):.2f} %")
        self._best = min(self._best, float(metrics.get("val/loss", math.inf)))
        print(" | ".join([self._place, *figures, f"{self._seconds:.1f} s", *self._outlook(trainer)]), flush=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.teardown(trainer, pl_module, "fit")  # a table may follow, which a bar would run into

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
        """Replace Lightning's "Epoch 7" by two lines; it has no public name for it."""
        return escape("\n".join([_place(self.trainer), " | ".join(self._outlook(self.trainer))]))

    def tracked(self, steps: Iterable[T], total: float, description: str) -> Iterator[T]:
        """Yield ``steps`` of work outside the epochs, with a bar of their own while they last."""
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
        self._started = time.monotonic()
        cascade = cascade_of(trainer)
        self._best = math.inf if cascade is None else cascade.best
        self._place = _place(trainer)

    def _outlook(self, trainer: L.Trainer) -> list[str]:
        """Return what is known of the rest: at the end of an epoch the cascade may be in the next stage already."""
        cascade = cascade_of(trainer)
        if cascade is None:
            return []
        outlook = [f"best {self._best:.4f}"] if self._best < math.inf else []
        if cascade.finished:
            return outlook
        if cascade.epoch:
            outlook.append(f"patience {cascade.patience - cascade.bad_epochs} of {cascade.patience}")
        if self._seconds is not None:
            later = sum(stage.max_epochs for stage in cascade.plan[cascade.index + 1 :])
            left = cascade.planned.max_epochs - cascade.epoch + later
            outlook.append(f"at most {duration(left * self._seconds)}")
        return outlook


def _place(trainer: L.Trainer) -> str:
    cascade = cascade_of(trainer)
    if cascade is None:
        return f"epoch {trainer.current_epoch + 1}"
    level = as_nested(trainer.lightning_module).taxonomy.levels[cascade.planned.level]
    return (
        f"stage {cascade.index + 1}/{len(cascade.plan)} {level} | "
        f"epoch {cascade.epoch + 1} of at most {cascade.planned.max_epochs}"
    )
