"""The table at the end of a run: every level's accuracy, confidence and ECE, before and after calibration."""

import os

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from nested_lightning.callbacks.calibrator import Calibrator, values_of
from nested_lightning.callbacks.outputs import has_validation, measure, run_network, run_test
from nested_lightning.metrics import NestedMetrics
from nested_lightning.module import as_nested
from nested_lightning.writing import replacing


class Report(Callback):
    """Print the table when training is done, and log its figures.

    Logged under ``{test,val}/LEVEL/{accuracy,confidence,ece}`` as after calibration, and the same keys behind
    ``uncalibrated/`` as before it. The reliability diagrams of all levels go to ``<default_root_dir>/reliability.png``.
    Place it after the calibrating callbacks.

    ``Trainer.test`` ends with such a table of every test loader; its ``verbose=False`` leaves out Lightning's own.
    """

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
        calibrators = [c for c in trainer.callbacks if isinstance(c, Calibrator)]  # type: ignore[attr-defined]
        metrics: NestedMetrics | None
        if calibrators:
            split, before, after = calibrators[0].split, calibrators[0].before, calibrators[-1].after
            metrics = calibrators[-1].metrics
        else:
            test = run_test(trainer, module)
            if test is None and not has_validation(trainer):
                return
            split, before = "val" if test is None else "test", {}
            metrics = measure(module, test or run_network(trainer, module, trainer.val_dataloaders))
            after = values_of(metrics)
        if not trainer.is_global_zero:
            return
        logged = {f"{split}/{key}": value for key, value in after.items()}
        logged |= {f"uncalibrated/{split}/{key}": value for key, value in before.items()}
        for logger in trainer.loggers:
            logger.log_metrics(logged, step=trainer.global_step)
            logger.save()
        if metrics is not None:
            _draw(metrics, os.path.join(trainer.default_root_dir, "reliability.png"))
        measured = "test data" if split == "test" else "validation data"
        Console().print(_table(module.taxonomy.levels, measured, before, after))
        print(f"Files of this run: {os.path.abspath(trainer.default_root_dir)}")


def _draw(metrics: NestedMetrics, path: str) -> None:
    from matplotlib.figure import Figure

    levels = metrics.taxonomy.levels
    figure = Figure(figsize=(5 * len(levels), 5), layout="constrained")
    for level, ax in enumerate(figure.subplots(1, len(levels))):
        metrics.plot(level, ax)
    with replacing(path) as beside:
        figure.savefig(beside, format="png")


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
