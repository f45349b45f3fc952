"""Progress that tells where in the cascade a run is."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

from nested_lightning.callbacks.cascade import CascadeTraining
from nested_lightning.module import as_nested


class StageProgress(TQDMProgressBar):
    """Show stage, level and epoch: a bar on a terminal, and a line after every epoch anywhere."""

    def __init__(self, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0)

    def on_train_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_start(trainer, *args)
        # A run resumed within an epoch does not start that epoch.
        self._begin_epoch(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self._begin_epoch(trainer)
        if self.is_enabled:
            self.train_progress_bar.set_description(self._place)

    def _begin_epoch(self, trainer: L.Trainer) -> None:
        self._started = time.monotonic()
        self._place = _place(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        metrics = trainer.callback_metrics  # every process takes part in computing them
        if not trainer.is_global_zero:
            return
        level = as_nested(pl_module).taxonomy.levels[-1]
        figures = [f"{key} {float(metrics[key]):.4f}" for key in ("train/loss", "val/loss") if key in metrics]
        known = [name for name in as_nested(pl_module).taxonomy.levels if f"val/{name}/accuracy" in metrics]
        level = known[-1] if known else level
        if known:
            figures.append(f"{level} accuracy {100 * float(metrics[f'val/{level}/accuracy']):.2f} %")
        line = " | ".join([self._place, *figures, f"{time.monotonic() - self._started:.1f} s"])
        self.print(line) if self.is_enabled else print(line, flush=True)


def _place(trainer: L.Trainer) -> str:
    cascade = next((c for c in trainer.callbacks if isinstance(c, CascadeTraining)), None)  # type: ignore[attr-defined]
    if cascade is None:
        return f"epoch {trainer.current_epoch + 1}"
    level = as_nested(trainer.lightning_module).taxonomy.levels[cascade.planned.level]
    return (
        f"stage {cascade.index + 1}/{len(cascade.plan)} {level} | "
        f"epoch {cascade.epoch + 1} of at most {cascade.planned.max_epochs}"
    )
