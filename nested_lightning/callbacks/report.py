"""The results of a run: a table at its end, and ``summary.json``."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console
from rich.table import Table

from nested_lightning.callbacks.evaluation import evaluate
from nested_lightning.errors import WriteError
from nested_lightning.metrics.evaluation import Evaluation
from nested_lightning.module import NestedLightningModule, as_nested
from nested_lightning.utils.files import replacing
from nested_lightning.utils.provenance import provenance

_METRICS = ("accuracy", "confidence", "ece", "aurc", "inconsistency")


class Report(Callback):
    """Print a table of accuracy, confidence and ECE when training is finished, and log these metrics.

    They are logged as ``{test,val}/LEVEL/{accuracy,confidence,ece}``; the metrics before calibration have the same
    keys after ``uncalibrated/``. Place it after the calibrating callbacks.

    ``Trainer.test`` ends with such a table for every test loader; its ``verbose=False`` omits Lightning's own.
    """

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        levels = as_nested(pl_module).taxonomy.levels
        for i, tested in enumerate(tested_loaders(trainer, [*levels, "path"])):
            name = tested["name"].replace("_", " ") if i else "test"
            Console().print(_table(levels, f"{name} data", {}, tested["metrics"]))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if trainer.fast_dev_run or not module.stage.finished:  # type: ignore[attr-defined]
            return
        evaluation = evaluate(trainer, module)
        if evaluation is None or not trainer.is_global_zero:
            return
        split, before, after = evaluation.split, evaluation.before, evaluation.after
        logged = {f"{split}/{key}": value for key, value in after.items()}
        logged |= {f"uncalibrated/{split}/{key}": value for key, value in before.items()}
        for logger in trainer.loggers:
            logger.log_metrics(logged, step=trainer.global_step)
            logger.save()
        measured = "test data" if split == "test" else "validation data"
        Console().print(_table(module.taxonomy.levels, measured, before, after))
        print(f"Files of this run: {os.path.abspath(trainer.default_root_dir)}")


def _table(levels: Sequence[str], data: str, before: Mapping[str, float], after: Mapping[str, float]) -> Table:
    table = Table(title=f"{data}, in %" + (", after (before) calibration" if before else ""))
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
    known = [name for name in ("accuracy", "inconsistency") if f"path/{name}" in after]
    if known:
        values = (f"{name}: {100 * after[f'path/{name}']:.2f} %" for name in known)
        table.caption = "  ".join(["full path", *values])
    return table


def write_summary(
    trainer: L.Trainer, module: NestedLightningModule, evaluation: Evaluation, epochs: Sequence[Any], seconds: float
) -> None:
    """Write ``summary.json`` for ``lightning report``, with what every epoch logged and the seconds of the training."""
    summary = {
        "levels": list(module.taxonomy.levels),
        "classes": list(module.taxonomy.sizes),
        "split": evaluation.split,
        "rows": len(evaluation.measured.predictions.target) if evaluation.measured else None,
        "before": evaluation.before,
        "after": evaluation.after,
        "epochs": list(epochs),
        "seconds": seconds,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "device": str(module.device),
        **provenance(),
    }
    write_json(Path(trainer.default_root_dir) / "summary.json", summary)


def tested_loaders(trainer: L.Trainer, groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return of each test loader its ``name``, the ``strength`` of its distortion, if any, and its ``metrics``.

    ``groups`` are the levels, or ``"path"``, whose metrics are returned.
    """
    loaders, tests = trainer.test_dataloaders, []
    for i, loader in enumerate(loaders if isinstance(loaders, list) else [loaders]):
        dataset = getattr(loader, "dataset", None)
        name = (getattr(dataset, "name", "") or f"loader_{i}") if i else ""
        strength = getattr(getattr(dataset, "augmentation", None), "strength", None)
        keys = [f"{group}/{metric}" for group in groups for metric in _METRICS]
        logged = {key: trainer.callback_metrics.get(f"test/{name}/{key}" if name else f"test/{key}") for key in keys}
        metrics = {key: float(value) for key, value in logged.items() if value is not None}
        tests.append({"name": name or "none", "strength": strength if i else 0.0, "metrics": metrics})
    return tests


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, with null for numbers that are not finite. If that fails, warn: training continues."""
    text = json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n"
    try:
        with replacing(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
    except WriteError as error:
        rank_zero_warn(f"The run continues, but {error}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
