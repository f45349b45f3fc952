"""The table at the end of a run: every level's accuracy, confidence and ECE, before and after calibration."""

import os

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from nested_lightning.callbacks.final import Final, final_figures
from nested_lightning.module import NestedLightningModule, as_nested


class Report(Callback):
    """Print the table when training is done, and log its figures.

    Logged under ``{test,val}/LEVEL/{accuracy,confidence,ece}`` as after calibration, and the same keys behind
    ``uncalibrated/`` as before it. Place it after the calibrating callbacks.

    ``Trainer.test`` ends with such a table of every test loader; its ``verbose=False`` leaves out Lightning's own.

    Attributes:
        final: what the table tells; None before the end of training.
    """

    final: Final | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.final = None

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        levels = as_nested(pl_module).taxonomy.levels
        parts: dict[str, dict[str, float]] = {}
        for key, value in trainer.callback_metrics.items():
            part, *figure = key.rsplit("/", 2)
            parts.setdefault(part, {})["/".join(figure)] = float(value)
        for part, values in parts.items():
            if part.startswith("test"):
                Console().print(_table(levels, f"{part.replace('test/', '').replace('_', ' ')} data", {}, values))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if trainer.fast_dev_run or not module.stage.finished:  # type: ignore[attr-defined]
            return
        self.final = final_figures(trainer, module)
        if self.final is None or not trainer.is_global_zero:
            return
        split, before, after, *_ = self.final
        logged = {f"{split}/{key}": value for key, value in after.items()}
        logged |= {f"uncalibrated/{split}/{key}": value for key, value in before.items()}
        for logger in trainer.loggers:
            logger.log_metrics(logged, step=trainer.global_step)
            logger.save()
        measured = "test data" if split == "test" else "validation data"
        Console().print(_table(module.taxonomy.levels, measured, before, after))
        print(f"Files of this run: {os.path.abspath(trainer.default_root_dir)}")


def reported_figures(trainer: L.Trainer, module: NestedLightningModule) -> Final | None:
    """Return what a ``Report`` has told at this end of training, else measure; every process has to call it."""
    told = [c.final for c in trainer.callbacks if isinstance(c, Report)]  # type: ignore[attr-defined]
    return next(filter(None, told), None) or final_figures(trainer, module)


def _table(levels: tuple[str, ...], measured: str, before: dict[str, float], after: dict[str, float]) -> Table:
    table = Table(title=f"{measured}, in %" + (", after (before) calibration" if before else ""))
    table.add_column("level")
    names = ("accuracy", "confidence", "ece")
    for name in names:
        table.add_column(name if name != "ece" else "ECE", justify="right")
    for level in levels:
        cells = []
        for name in names:
            key = f"{level}/{name}"
            was = f" ({100 * before[key]:.2f})" if key in before else ""
            cells.append(f"{100 * after[key]:.2f}{was}" if key in after else "-")
        table.add_row(level, *cells)
    table.caption = "  ".join(
        f"{name}: {100 * after[f'path/{name}']:.2f} %"
        for name in ("accuracy", "inconsistency")
        if f"path/{name}" in after
    )
    if table.caption:
        table.caption = f"full path  {table.caption}"
    return table
