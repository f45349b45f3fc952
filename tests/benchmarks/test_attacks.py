"""The figures of Tables 3 and 4, counted again row by row."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.attacked import attacked_network
from helpers.toy import TAXONOMY

from benchmarks.paper.art_attacks import attack
from benchmarks.paper.minimal_fgsm import minimal_fgsm


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # benchmarks/ is not installed
    return importlib.import_module("benchmarks.paper.attacks").evaluate_attacks


def test_figures(evaluate: Any) -> None:
    module, images, target = attacked_network()
    found = evaluate(module, images, target, fgsm_rows=25, other_rows=20)
    assert json.loads(json.dumps(found)) == found
    rows = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    x, y = images[rows[:25]], target[rows[:25]]
    changed, steps = minimal_fgsm(module, x, y)
    for percent in (5, 10, 15, 30):
        step = found["table3"][f"eps@{percent}"]
        assert (steps <= step).double().mean() >= percent / 100 > (steps < step).double().mean()
    check(found["table4"]["fgsm"], module, x, changed, y)
    x, y = x[:20], y[:20]
    check(found["table4"]["deepfool"], module, x, attack(module, x, y, "deepfool"), y)
    check(found["table4"]["saliency"], module, x, attack(module, x, y, "saliency", theta=0.3), y)


def check(figures: Any, module: Any, images: torch.Tensor, changed: torch.Tensor, target: torch.Tensor) -> None:
    broken, coarse, middle, lengths, already = 0, 0, 0, [], 0
    for x, image, labels in zip(images, changed, target, strict=True):
        before, after = ([int(p.argmax()) for p in module.predict(z[None]).probabilities] for z in (x, image))
        already += before[2] != labels[2]
        if after[2] != labels[2]:
            broken += 1
            coarse += after[0] == labels[0]
            middle += after[1] == labels[1]
            lengths.append(((image - x).square().sum().sqrt(), (image - x).abs().max()))
    n = len(images)
    assert broken > already > 0
    assert figures["rows"] == n
    assert figures["already_wrong"] == pytest.approx(float(already) / n)
    assert figures["broken"] == pytest.approx(broken / n)
    assert figures["accuracy"] == pytest.approx({"kind": float(coarse) / broken, "group": float(middle) / broken})
    for name, values in zip(("l2", "linf"), torch.tensor(lengths).T, strict=True):
        assert figures[name]["mean"] == pytest.approx(float(values.mean()), rel=1e-4)
        assert figures[name]["median"] == pytest.approx(float(values.median()), rel=1e-4)


def test_a_model_that_nothing_misleads(evaluate: Any) -> None:
    module, images, _ = attacked_network()
    with torch.no_grad():
        module.network.backbone[1].weight.zero_()
    target = TAXONOMY.lift(module.predict(images).probabilities[2].argmax(dim=1), 2)
    found = evaluate(module, images, target, fgsm_rows=10, other_rows=5)
    assert set(found["table3"].values()) == {10, None}
    for figures in found["table4"].values():
        assert figures["broken"] == figures["already_wrong"] == 0
        assert set(figures["accuracy"].values()) == {None}
    assert "NaN" not in json.dumps(found) and "Infinity" not in json.dumps(found)
