"""Evaluate a finished run on test samples: ``python -m benchmarks.paper.evaluation RUN SOURCE``."""

import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.paper.training import write
from nested_lightning import NestedLightningModule
from nested_lightning.functional.combination import COMBINATIONS, CombinationRule
from nested_lightning.loading import load_run
from nested_lightning.metrics import NestedMetrics
from nested_lightning.utils.resources import shipped

CLEAN = "clean"
DISTORTIONS = yaml.safe_load(shipped()["recipes/evaluation/distortions.yaml"].read_text())["data"]["distortions"]
"""Appendix F, as options of the data module by name."""
PARTS = (CLEAN, *DISTORTIONS)


def open_run(folder: Path, source: str) -> tuple[NestedLightningModule, dict[str, Any]]:
    """Return the calibrated model of a run, and loaders of the test samples of ``source``: clean, and distorted."""
    module, data = load_run(folder / "checkpoints" / "final.ckpt", source=source, distortions=DISTORTIONS)
    data.setup("test")
    parts = PARTS if len(data.input_shape) == 3 else PARTS[:1]  # the loaders of distorted texts cannot be used
    return module, dict(zip(parts, data.test_dataloader(), strict=False))


def join_batches(loader: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of all batches together."""
    inputs, target = (torch.cat(column) for column in zip(*loader, strict=True))
    return inputs, target


def open_uncalibrated(folder: Path) -> NestedLightningModule | None:
    """Return the model at the end of its last stage, None if that was not kept."""
    stages = sorted(folder.glob("checkpoints/stage-*.ckpt"))
    return load_run(stages[-1])[0] if stages else None


def evaluate(folder: Path, source: str) -> dict[str, Any]:
    """Return the metrics of a run on the test samples of ``source`` as plain values.

    Returns:
        ``calibrated`` and ``uncalibrated`` (if it was kept): the metrics by part, with their log keys;
        ``combinations``: the calibrated metrics by combination rule and part (for runs that use Eq. 2); ``parameters``.
    """
    module, loaders = open_run(folder, source)
    nested = module.combination is COMBINATIONS["nested"]
    states = {"calibrated": module, "uncalibrated": open_uncalibrated(folder)}
    measured: dict[str, Any] = {"parameters": sum(p.numel() for p in module.parameters())}
    for part, loader in loaders.items():
        embeddings, target = _embed(module, loader)
        for state, model in states.items():
            if model is not None:
                measured.setdefault(state, {})[part] = _measure(model, model.combination, embeddings, target)
        for name, rule in COMBINATIONS.items() if nested else ():
            own = rule is module.combination
            found = measured["calibrated"][part] if own else _measure(module, rule, embeddings, target)
            measured.setdefault("combinations", {}).setdefault(name, {})[part] = found
    return measured


@torch.no_grad()
def _embed(module: NestedLightningModule, loader: Any) -> tuple[list[Tensor], Tensor]:
    parts = [(*module.network.embed(x), target) for x, target in loader]
    *embeddings, target = (torch.cat(column) for column in zip(*parts, strict=True))
    return embeddings, target


@torch.no_grad()
def _measure(
    module: NestedLightningModule, rule: CombinationRule, embeddings: list[Tensor], target: Tensor
) -> dict[str, float]:
    """Return the metrics of the heads and temperatures of ``module``; calibration does not change its embeddings."""
    logits = [head.classify(f) for head, f in zip(module.network.heads, embeddings, strict=True)]
    metrics = NestedMetrics(module.taxonomy, threshold=module.threshold)
    metrics.update(rule(module.own_log_probabilities(logits), module.taxonomy), target)
    return {name: round(float(value), 6) for name, value in metrics.compute().items()}


if __name__ == "__main__":
    run, source = sys.argv[1:]
    write(Path(run) / "evaluation.json", evaluate(Path(run), source))
