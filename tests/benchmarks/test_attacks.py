"""Attacks: on a linear model by hand, on a small network against loops; Tables 3 and 4 sample by sample."""

import json
import sys
from typing import Any

import pytest
import torch
from helpers.toy import TAXONOMY, toy_module
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from benchmarks.paper.art_attacks import attack, find_epsilons, find_minimal_fgsm
from benchmarks.paper.tables.attacks import evaluate_attacks
from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.errors import ConfigurationError, DataError

TWO = Taxonomy(["kind", "leaf"], [("a", "1"), ("b", "2")])
SLOPE = torch.tensor([0.5, -1.0, 2.0, 0.25, -0.75, 1.5])


class Linear(NestedLightningModule):
    """Its finest level gives class 1 the log-odds SLOPE * (x - 1/2) times ``sharpness``."""

    sharpness, rejection = 1.0, -torch.inf

    def forward(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        odds = self.sharpness * ((x.flatten(1) - 0.5) @ SLOPE)
        logits = torch.stack([-odds / 2, odds / 2, torch.full_like(odds, self.rejection)], dim=1)
        return [logits, logits]


def linear(sharpness: float = 1.0, rejection: float = -torch.inf) -> tuple[NestedLightningModule, Tensor, Tensor]:
    """Return a model, images [8, 1, 2, 3] far from 0 and 1 that it predicts correctly, and their targets."""
    module = toy_module(Linear, taxonomy=TWO, combination="independent")
    module.sharpness, module.rejection = sharpness, rejection
    images = 0.4 + 0.2 * torch.rand(8, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    leaf = ((images.flatten(1) - 0.5) @ SLOPE > 0).long()
    return module, images, torch.stack([leaf, leaf], dim=1)


def network(**options: Any) -> tuple[NestedLightningModule, Tensor, Tensor]:
    """Return a network, images [30, 6] in [0, 1], and targets: its own predictions, except for the last three."""
    torch.manual_seed(3)
    backbone = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1))
    module = toy_module(backbone=backbone, feature_channels=16, bottleneck_channels=8, **options)
    images = torch.rand(30, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        backbone[0].running_mean.copy_(images.mean(dim=0))
        backbone[0].running_var.copy_(images.var(dim=0))
    leaf = predict(module.eval(), images)
    leaf[-3:] = (leaf[-3:] + 1) % 5
    return module, images, TAXONOMY.lift(leaf, 2)


def predict(module: NestedLightningModule, images: Tensor, level: int = -1) -> Tensor:
    return module.predict(images).probabilities[level].argmax(dim=1)


def signs(target: Tensor) -> Tensor:
    """Return the direction of an attack along SLOPE, [B, 1]."""
    return 1.0 - 2.0 * target[:, -1:]


# Made 100 times as sharp, the model gives some predictions the probability 1, rounded to float32.
@pytest.mark.parametrize(("sharpness", "rejection"), [(1, -torch.inf), (1, 3.0), (100, -torch.inf)])
def test_fgsm_by_hand(sharpness: float, rejection: float) -> None:
    module, images, target = linear(sharpness, rejection)
    expected = images.flatten(1) + 0.05 * signs(target) * SLOPE.sign()
    assert (sharpness == 100) == bool((module.predict(images).probabilities[-1] == 1).any())
    changed = attack(module, images, target, "fgsm", eps=0.05)
    torch.testing.assert_close(changed.flatten(1), expected)
    distance = ((images.flatten(1) - 0.5) @ SLOPE).abs() / SLOPE.abs().sum()
    changed, steps = find_minimal_fgsm(module, images, target, epsilons=[i / 1000 for i in range(1, 201)])
    torch.testing.assert_close(steps, (distance.double() * 1000).ceil() / 1000)
    torch.testing.assert_close((changed - images).flatten(1).abs().amax(1), steps.float())
    assert (predict(module, changed) != target[:, -1]).all()


def test_deepfool_by_hand() -> None:
    module, images, target = linear()
    odds = (images.flatten(1) - 0.5) @ SLOPE
    expected = images.flatten(1) - 1.02 * odds[:, None] / SLOPE.square().sum() * SLOPE
    changed = attack(module, images, target, "deepfool")
    torch.testing.assert_close(changed.flatten(1), expected, atol=1e-5, rtol=0)
    assert (predict(module, changed) != target[:, -1]).all()


def test_saliency_by_hand() -> None:
    module, images, target = linear()
    changed = attack(module, images, target, "saliency", theta=0.05)
    for image, result, toward in zip(images.flatten(1), changed.flatten(1), signs(target) * SLOPE, strict=True):
        expected = image.clone()
        while (expected - 0.5) @ toward <= 0:
            dark = torch.where(expected < 1, toward, -torch.inf)
            expected[dark.topk(2).indices] += 0.05
            expected.clamp_(max=1)
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("combination", ["nested", "sum_up", "product"])
@pytest.mark.parametrize("method", ["fgsm", "deepfool", "saliency"])
def test_attacks_mislead_and_do_not_change_the_model(method: Any, combination: str) -> None:
    module, images, target = network(combination=combination)
    module.network.backbone.train()
    module.network.backbone[1].weight.requires_grad = False
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    options = {"eps": 0.3} if method == "fgsm" else {}
    changed = attack(module, images, target, method, **options)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["network.backbone.1.weight"]
    assert all(weight.grad is None for weight in module.parameters())
    assert changed.dtype == torch.float32 and changed.shape == images.shape
    assert changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed[-3:], images[-3:]), "these were incorrect before"
    assert (predict(module, changed) == target[:, -1]).float().mean() < 0.5
    alone = [attack(module, images[i : i + 1], target[i : i + 1], method, **options) for i in range(0, 30, 6)]
    torch.testing.assert_close(torch.cat(alone), changed[::6], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("combination", "level"), [("nested", 0), ("nested", 2), ("sum_up", 1), ("sum_up", 2)])
def test_minimal_steps_against_a_loop(combination: str, level: int) -> None:
    module, images, target = network(combination=combination)
    target[-3:] = (target[-3:] + 1) % torch.tensor(TAXONOMY.sizes)
    epsilons = [i / 50 for i in range(1, 13)]
    changed, steps = find_minimal_fgsm(module, images, target, level, epsilons, batch_size=7)
    module.eval()
    for image, labels, result, step in zip(images, target, changed, steps, strict=True):
        x = image[None].clone().requires_grad_()
        p = module.combination(module.own_log_probabilities(module(x)), TAXONOMY)[level].exp()
        nll_loss((p / p.sum()).log(), labels[[level]]).backward()
        tried = {e: (image + e * x.grad[0].sign()).clamp(0, 1) for e in (0.0, *epsilons)}
        misled = [e for e, t in tried.items() if predict(module, t[None], level) != labels[level]]
        assert step == (misled[0] if misled else torch.inf)
        torch.testing.assert_close(result, tried[misled[0]] if misled else image)
    assert 0 in steps and steps.isinf().any() and steps[steps.isfinite()].unique().numel() > 4


def test_error_rates_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (1, 7, 20, 40, 333):
        steps = torch.randint(0, 12, (n,), generator=generator).double() / 10
        steps[steps > 1] = torch.inf
        rates = [0.05, 0.1, 0.15, 0.3, 1.0]
        for rate, found in zip(rates, find_epsilons(steps, rates), strict=True):
            assert found == next(e for e in sorted(steps.tolist()) if (steps <= e).sum() / n >= rate)
    with pytest.raises(DataError, match="at least one sample"):
        find_epsilons(torch.empty(0), [0.1])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "fgms"}, ConfigurationError, "Did you mean 'fgsm'?"),
        ({"level": 3}, ConfigurationError, "give 0 to 2, or -1"),
        ({"epsilon": 1}, ConfigurationError, "do not fit the attack 'fgsm'"),
        ({"images": torch.full((30, 6), 1.5)}, DataError, r"float images in \[0, 1\]"),
        ({"images": torch.ones(30, 6).long()}, DataError, r"float images in \[0, 1\]"),
        ({"target": torch.zeros(30).long()}, DataError, r"expected a target of shape \(30, 3\)"),
        ({"target": torch.full((30, 3), -1)}, DataError, "30 samples have no label at level 'leaf'"),
    ],
)
def test_a_mistake_is_one_message(change: dict[str, Any], error: type[Exception], message: str) -> None:
    module, images, target = network()
    with pytest.raises(error, match=message):
        attack(**{"module": module, "images": images, "target": target, "method": "fgsm", **change})


def test_votes_have_no_gradient() -> None:
    with pytest.raises(ConfigurationError, match=r"model\.combination has none"):
        attack(*network(combination="majority_vote"), "fgsm")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art.estimators.classification", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nested-lightning\[benchmarks\]'"):
        find_minimal_fgsm(*network())


def test_the_values_of_tables_3_and_4() -> None:
    module, images, target = network()
    found = evaluate_attacks(module, images, target, fgsm_samples=25, other_samples=20)
    assert json.loads(json.dumps(found)) == found
    chosen = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    x, y = images[chosen[:25]], target[chosen[:25]]
    changed, steps = find_minimal_fgsm(module, x, y)
    for percent in (5, 10, 15, 30):
        step = found["table3"][f"eps@{percent}"]
        assert (steps <= step).double().mean() >= percent / 100 > (steps < step).double().mean()
    check(found["table4"]["fgsm"], module, x, changed, y)
    x, y = x[:20], y[:20]
    check(found["table4"]["deepfool"], module, x, attack(module, x, y, "deepfool"), y)
    check(found["table4"]["saliency"], module, x, attack(module, x, y, "saliency", theta=0.3), y)


def check(values: Any, module: Any, images: Tensor, changed: Tensor, target: Tensor) -> None:
    """Count the values of Table 4 again, sample by sample."""
    kept, lengths = [], []
    for x, image, labels in zip(images, changed, target, strict=True):
        before, after = (torch.stack([p.argmax() for p in module.predict(z[None]).probabilities]) for z in (x, image))
        kept.append([before[2] == labels[2], *(after == labels)])
        if after[2] != labels[2]:
            lengths.append(((image - x).square().sum().sqrt(), (image - x).abs().max()))
    correct = torch.tensor(kept).double()
    assert values["rows"] == len(correct)
    broken = correct[correct[:, 3] == 0]
    assert len(broken) > (correct[:, 0] == 0).sum() > 0
    assert values["already_wrong"] == pytest.approx(1 - float(correct[:, 0].mean()))
    assert values["broken"] == pytest.approx(len(broken) / len(images))
    assert [values["accuracy"][name] for name in ("kind", "group")] == pytest.approx(broken[:, 1:3].mean(0).tolist())
    for name, of_norm in zip(("l2", "linf"), torch.tensor(lengths).T, strict=True):
        expected = {"mean": float(of_norm.mean()), "median": float(of_norm.median())}
        assert values[name] == pytest.approx(expected, rel=1e-4)


def test_a_model_that_nothing_misleads() -> None:
    module, images, _ = network()
    with torch.no_grad():
        module.network.backbone[1].weight.zero_()
    target = TAXONOMY.lift(predict(module, images), 2)
    found = evaluate_attacks(module, images, target, fgsm_samples=10, other_samples=5)
    assert set(found["table3"].values()) == {10, None}
    for values in found["table4"].values():
        assert values["broken"] == values["already_wrong"] == 0
        assert set(values["accuracy"].values()) == {None}
    assert "NaN" not in json.dumps(found) and "Infinity" not in json.dumps(found)
