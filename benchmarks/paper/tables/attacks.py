"""Tables 3 and 4: FGSM steps at error rates, and coarser predictions when the finest is broken by an attack."""

import math
from typing import Any, get_args

import torch
from torch import Tensor

from benchmarks.paper.art_attacks import AttackMethod, attack, find_epsilons, find_minimal_fgsm
from benchmarks.paper.commands import Runs, table
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.tables.accuracy import BROKEN, subtract_rows
from nested_lightning import NestedLightningModule

METHODS = {"end-to-end": "end_to_end_9000", "nested": "nested"}
ERROR_RATES = (0.05, 0.1, 0.15, 0.3)
PAPER_STEPS = {"end-to-end": [6.0e-3, 1.0e-2, 1.4e-2, 2.2e-2], "nested": [1.4e-2, 2.2e-2, 3.0e-2, 5.0e-2]}
PAPER_ACCURACIES = {
    ("fgsm", "nested"): {"coarse": 86.8, "middle": 60.9},
    ("fgsm", "end-to-end"): {"coarse": 25.2, "middle": 15.6},
    ("deepfool", "nested"): {"coarse": 57.2, "middle": 35.7},
    ("deepfool", "end-to-end"): {"coarse": 44.5, "middle": 27.5},
    ("saliency", "nested"): {"coarse": 82.2, "middle": 71.5},
    ("saliency", "end-to-end"): {"coarse": 27.4, "middle": 17.2},
}
NOTES = [
    "Attacks of adversarial-robustness-toolbox on the calibrated, combined fine prediction. Error rates include "
    "samples that are incorrect without an attack. Table 3 and FGSM: 500 test samples of each seed, the same for both "
    "models; DeepFool and saliency map: 150 of them.",
    "A single FGSM step is a weak attack, and weaker on some models than on others: the ratio of two models' steps "
    "says less than it seems. See benchmarks/paper/attacks.md.",
]


@table("table3", dataset="mnist", variants=METHODS.values())
def compare_steps(runs: Runs) -> Result:
    """Return the FGSM steps at which each error rate is reached, in percent of the range of a pixel."""
    rows = []
    for method, paper in PAPER_STEPS.items():
        found = [seed["table3"] for seed in _attacked(runs, method)]
        steps = [percent([seed[_key(rate)] for seed in found]) for rate in ERROR_RATES]
        rows.append(Row(method, [Cell(ours, [], [100 * step]) for ours, step in zip(steps, paper, strict=True)]))
    title = "Table 3: MNIST, FGSM step at error rates, in % of the range of a pixel"
    columns = [f"ER = {100 * rate:.0f} %" for rate in ERROR_RATES]
    return Result(title=title, columns=columns, rows=rows, notes=NOTES, least_spread=0)


@table("table4", dataset="mnist", variants=METHODS.values(), differences=subtract_rows)
def compare_coarser_predictions(runs: Runs) -> Result:
    """Return the accuracy of the coarser levels on samples whose finest prediction an attack has broken."""
    found = {method: _attacked(runs, method) for method in METHODS}
    rows = []
    for (name, method), paper in PAPER_ACCURACIES.items():
        measured = [seed["table4"][name] for seed in found[method]]
        cells = [Cell(percent([m["accuracy"][level] for m in measured]), [], [value]) for level, value in paper.items()]
        rows.append(Row(f"{name}, {method}", [*cells, Cell(percent([m["broken"] for m in measured]))]))
    title = "Table 4: MNIST, accuracy of coarser answers where an attack has made the fine one wrong"
    return Result(title=title, columns=["coarse", "middle", BROKEN], rows=rows, notes=NOTES)


def _attacked(runs: Runs, method: str) -> list[Any]:
    return runs.measure(
        "attacks", METHODS[method], lambda module, x, target, seed: evaluate_attacks(module, x, target, seed=seed)
    )


def evaluate_attacks(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    fgsm_samples: int = 500,
    other_samples: int = 150,
    theta: float = 0.3,
    seed: int = 0,
) -> dict[str, Any]:
    """Attack a model's finest prediction on a random choice of the test images.

    The choice depends only on ``seed`` and the number of images, so it is the same for all models; DeepFool and the
    saliency map use the first samples of it. In Table 4 every image gets the smallest change that the attack finds:
    none if the prediction is already incorrect, the smallest step of a grid for FGSM, otherwise ART's result. Samples
    that are never misled are left out of the accuracies and means, so the accuracy of the finest level is 0 in each.
    ``theta`` is the step of the saliency map, per pixel.

    Returns:
        Plain values. ``table3``: ``rows`` (samples) and per error rate ``eps@5`` and so on, None if no step of the grid
        reaches it. ``table4``: per attack ``rows``; ``already_wrong`` and ``broken``, shares of all samples, the latter
        including the former; over the broken samples ``accuracy`` by coarser level, in [0, 1], and the mean and median
        length of the change, ``l2`` and ``linf`` (pixels in [0, 1]), None if no sample is broken.
    """
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    first = chosen[:fgsm_samples]
    changed, steps = find_minimal_fgsm(module, images[first], target[first])
    rates = zip(ERROR_RATES, find_epsilons(steps, ERROR_RATES), strict=True)
    reached = {_key(rate): step if math.isfinite(step) else None for rate, step in rates}
    table4 = {"fgsm": _measure(module, images[first], changed, target[first])}
    first = chosen[:other_samples]
    for method in [name for name in get_args(AttackMethod) if name != "fgsm"]:
        options: dict[str, Any] = {"theta": theta} if method == "saliency" else {}
        changed = attack(module, images[first], target[first], method, **options)
        table4[method] = _measure(module, images[first], changed, target[first])
    return {"table3": {"rows": len(steps), **reached}, "table4": table4}


def _key(rate: float) -> str:
    return f"eps@{100 * rate:.0f}"


def _measure(module: NestedLightningModule, images: Tensor, changed: Tensor, target: Tensor) -> dict[str, Any]:
    correct = _correct(module, changed, target)
    broken = ~correct[:, -1]
    change = (changed - images)[broken].flatten(1)
    lengths = {"l2": change.norm(dim=1), "linf": change.norm(dim=1, p=torch.inf)}
    levels = module.taxonomy.levels[:-1]
    return {
        "rows": len(images),
        "already_wrong": 1 - float(_correct(module, images, target)[:, -1].double().mean()),
        "broken": float(broken.double().mean()),
        "accuracy": {name: _finite(correct[broken, i].double().mean()) for i, name in enumerate(levels)},
        **{name: {"mean": _finite(norm.mean()), "median": _finite(norm.median())} for name, norm in lengths.items()},
    }


def _correct(module: NestedLightningModule, images: Tensor, target: Tensor) -> Tensor:
    """Return which predictions are correct, bool ``[B, n_levels]``."""
    predictions = [
        torch.stack([p.argmax(dim=1) for p in module.predict(batch).probabilities], dim=1)
        for batch in images.split(100)
    ]
    return torch.cat(predictions) == target


def _finite(value: Tensor) -> float | None:
    return float(value) if math.isfinite(float(value)) else None
