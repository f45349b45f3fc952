"""``summary.json``: what ``lightning report`` tells of a run besides its settings and figures."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn

from nested_lightning.callbacks.final import Final
from nested_lightning.errors import WriteError
from nested_lightning.module import NestedLightningModule
from nested_lightning.utils.files import replacing
from nested_lightning.utils.provenance import provenance

FILE = "summary.json"


def write_summary(
    trainer: L.Trainer, module: NestedLightningModule, final: Final, epochs: Sequence[Any], seconds: float
) -> None:
    """Write metrics before and after calibration, what every epoch logged, wall time, and where the run comes from."""
    summary = {
        "levels": list(module.taxonomy.levels),
        "classes": list(module.taxonomy.sizes),
        "split": final.split,
        "rows": len(final.measured.answers.target) if final.measured else None,
        "before": final.before,
        "after": final.after,
        "epochs": list(epochs),
        "seconds": seconds,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "device": str(module.device),
        **provenance(),
    }
    write_json(Path(trainer.default_root_dir) / FILE, summary)


def tested_loaders(trainer: L.Trainer, levels: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each test loader its name, the strength of its distortion if that has one, and its metrics."""
    loaders, tests = trainer.test_dataloaders, []
    for i, loader in enumerate(loaders if isinstance(loaders, list) else [loaders]):
        rows = getattr(loader, "dataset", None)
        name = (getattr(rows, "name", "") or f"loader_{i}") if i else ""
        strength = getattr(getattr(rows, "augmentation", None), "strength", None)
        keys = [f"{level}/{metric}" for level in levels for metric in ("accuracy", "confidence", "ece", "aurc")]
        logged = {key: trainer.callback_metrics.get(f"test/{name}/{key}" if name else f"test/{key}") for key in keys}
        metrics = {key: float(value) for key, value in logged.items() if value is not None}
        tests.append({"name": name or "none", "strength": strength if i else 0.0, "metrics": metrics})
    return tests


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; numbers that are not finite become null. A failure is a warning."""
    text = json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n"
    try:
        with replacing(path) as beside:
            Path(beside).write_text(text, encoding="utf-8")
    except WriteError as error:  # not worth the training that it would end
        rank_zero_warn(f"The run goes on, but {error}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(of_key) for key, of_key in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
