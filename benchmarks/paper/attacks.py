"""Tables 3 and 4: how far an image must be changed to mislead a model, and what its coarser answers are then."""

import math
from typing import Any, get_args

import torch
from torch import Tensor

from benchmarks.paper.art_attacks import AttackMethod, attack
from benchmarks.paper.minimal_fgsm import epsilon_at_error_rates, minimal_fgsm
from nested_lightning import NestedLightningModule

ERROR_RATES = (0.05, 0.1, 0.15, 0.3)


def evaluate_attacks(
    module: NestedLightningModule,
    images: Tensor,
    target: Tensor,
    fgsm_rows: int = 500,
    other_rows: int = 150,
    theta: float = 0.3,
    seed: int = 0,
) -> dict[str, Any]:
    """Attack a model's finest answer on a sample of the test images.

    The sample depends on ``seed`` and the number of images alone, so all models see the same; that of DeepFool and
    the saliency map is the beginning of that of FGSM. In Table 4 every row gets the least change that the attack finds:
    none where the answer is wrong already, the least step of a grid for FGSM, ART's result else. Rows that are never
    misled are left out of its accuracies and means, so the accuracy of the finest level is 0 in each.

    Args:
        module: a trained model.
        images: float ``[N, C, H, W]`` in [0, 1].
        target: int64 ``[N, n_levels]``, known at every level.
        fgsm_rows: rows of Table 3, and of FGSM in Table 4.
        other_rows: rows of the slower attacks.
        theta: the step of the saliency map, per pixel.
        seed: of the sample.

    Returns:
        Plain numbers. ``table3``: ``rows`` and per error rate ``eps@5`` and so on, None where no step of the grid
        reaches it. ``table4``: per attack ``rows``; ``already_wrong`` and ``broken``, shares of all rows, the latter
        with the former; over the broken rows ``accuracy`` by coarser level, in [0, 1], and the mean and median length
        of the change, ``l2`` and ``linf`` (pixels in [0, 1]); these are None where no row is broken.
    """
    sample = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    first = sample[:fgsm_rows]
    changed, steps = minimal_fgsm(module, images[first], target[first])
    rates = zip(ERROR_RATES, epsilon_at_error_rates(steps, ERROR_RATES), strict=True)
    reached = {f"eps@{100 * rate:.0f}": step if math.isfinite(step) else None for rate, step in rates}
    table4 = {"fgsm": _figures(module, images[first], changed, target[first])}
    first = sample[:other_rows]
    for method in [name for name in get_args(AttackMethod) if name != "fgsm"]:
        options = {"theta": theta} if method == "saliency" else {}
        changed = attack(module, images[first], target[first], method, **options)
        table4[method] = _figures(module, images[first], changed, target[first])
    return {"table3": {"rows": len(steps), **reached}, "table4": table4}


def _figures(module: NestedLightningModule, images: Tensor, changed: Tensor, target: Tensor) -> dict[str, Any]:
    right = _right(module, changed, target)
    broken = ~right[:, -1]
    change = (changed - images)[broken].flatten(1)
    lengths = {"l2": change.norm(dim=1), "linf": change.norm(dim=1, p=torch.inf)}
    levels = module.taxonomy.levels[:-1]
    return {
        "rows": len(images),
        "already_wrong": 1 - float(_right(module, images, target)[:, -1].double().mean()),
        "broken": float(broken.double().mean()),
        "accuracy": {name: _number(right[broken, i].double().mean()) for i, name in enumerate(levels)},
        **{name: {"mean": _number(norm.mean()), "median": _number(norm.median())} for name, norm in lengths.items()},
    }


def _right(module: NestedLightningModule, images: Tensor, target: Tensor) -> Tensor:
    """Return which answers are right, bool ``[B, n_levels]``."""
    answers = [
        torch.stack([p.argmax(dim=1) for p in module.predict(batch).probabilities], dim=1)
        for batch in images.split(100)
    ]
    return torch.cat(answers) == target


def _number(value: Tensor) -> float | None:
    return float(value) if math.isfinite(float(value)) else None
