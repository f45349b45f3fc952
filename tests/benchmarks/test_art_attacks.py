"""Attacks: on a linear model by hand, on a small network against loops."""

import sys
from typing import Any

import pytest
import torch
from helpers.attacked import attacked_network
from helpers.toy import TAXONOMY, toy_module
from torch import Tensor
from torch.nn.functional import nll_loss

from benchmarks.paper.art_attacks import attack
from benchmarks.paper.minimal_fgsm import epsilon_at_error_rates, minimal_fgsm
from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.errors import ConfigurationError, DataError

METHODS = ["fgsm", "deepfool", "saliency"]
TWO = Taxonomy(["kind", "leaf"], [("a", "1"), ("b", "2")])
SLOPE = torch.tensor([0.5, -1.0, 2.0, 0.25, -0.75, 1.5])


class Linear(NestedLightningModule):
    """Whose finest level says class 1 with the log-odds SLOPE * (x - 1/2) times ``sharpness``."""

    sharpness, rejection = 1.0, -torch.inf

    def forward(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        odds = self.sharpness * ((x.flatten(1) - 0.5) @ SLOPE)
        logits = torch.stack([-odds / 2, odds / 2, torch.full_like(odds, self.rejection)], dim=1)
        return [logits, logits]


def linear(sharpness: float = 1.0, rejection: float = -torch.inf) -> tuple[NestedLightningModule, Tensor, Tensor]:
    """Return a model, images [8, 1, 2, 3] that it answers right and far from 0 and 1, and their targets."""
    module = toy_module(Linear, taxonomy=TWO, combination="independent")
    module.sharpness, module.rejection = sharpness, rejection
    images = 0.4 + 0.2 * torch.rand(8, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    leaf = ((images.flatten(1) - 0.5) @ SLOPE > 0).long()
    return module, images, torch.stack([leaf, leaf], dim=1)


def answers(module: NestedLightningModule, images: Tensor, level: int = -1) -> Tensor:
    return module.predict(images).probabilities[level].argmax(dim=1)


def signs(target: Tensor) -> Tensor:
    """Return which way to go along SLOPE, [B, 1]."""
    return 1.0 - 2.0 * target[:, -1:]


# Made 100 times as sharp, the model gives some answers the probability 1, rounded to float32.
@pytest.mark.parametrize(("sharpness", "rejection"), [(1, -torch.inf), (1, 3.0), (100, -torch.inf)])
def test_fgsm_by_hand(sharpness: float, rejection: float) -> None:
    module, images, target = linear(sharpness, rejection)
    expected = images.flatten(1) + 0.05 * signs(target) * SLOPE.sign()
    assert (sharpness == 100) == bool((module.predict(images).probabilities[-1] == 1).any())
    changed = attack(module, images, target, "fgsm", eps=0.05)
    torch.testing.assert_close(changed.flatten(1), expected)
    distance = ((images.flatten(1) - 0.5) @ SLOPE).abs() / SLOPE.abs().sum()
    changed, steps = minimal_fgsm(module, images, target, epsilons=[i / 1000 for i in range(1, 201)])
    torch.testing.assert_close(steps, (distance.double() * 1000).ceil() / 1000)
    torch.testing.assert_close((changed - images).flatten(1).abs().amax(1), steps.float())
    assert (answers(module, changed) != target[:, -1]).all()


def test_deepfool_by_hand() -> None:
    module, images, target = linear()
    odds = (images.flatten(1) - 0.5) @ SLOPE
    expected = images.flatten(1) - 1.02 * odds[:, None] / SLOPE.square().sum() * SLOPE
    changed = attack(module, images, target, "deepfool")
    torch.testing.assert_close(changed.flatten(1), expected, atol=1e-5, rtol=0)
    assert (answers(module, changed) != target[:, -1]).all()


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
@pytest.mark.parametrize("method", METHODS)
def test_attacks_mislead_and_leave_the_model_alone(method: Any, combination: str) -> None:
    module, images, target = attacked_network(combination=combination)
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
    assert torch.equal(changed[-3:], images[-3:]), "these were wrong before"
    assert (answers(module, changed) == target[:, -1]).float().mean() < 0.5
    alone = [attack(module, images[i : i + 1], target[i : i + 1], method, **options) for i in range(0, 30, 6)]
    torch.testing.assert_close(torch.cat(alone), changed[::6], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("combination", "level"), [("nested", 0), ("nested", 2), ("sum_up", 1), ("sum_up", 2)])
def test_minimal_steps_against_a_loop(combination: str, level: int) -> None:
    module, images, target = attacked_network(combination=combination)
    target[-3:] = (target[-3:] + 1) % torch.tensor(TAXONOMY.sizes)
    epsilons = [i / 50 for i in range(1, 13)]
    changed, steps = minimal_fgsm(module, images, target, level, epsilons, batch_size=7)
    module.eval()
    for image, labels, result, step in zip(images, target, changed, steps, strict=True):
        x = image[None].clone().requires_grad_()
        p = module.combination(module.own_log_probabilities(module(x)), TAXONOMY)[level].exp()
        nll_loss((p / p.sum()).log(), labels[[level]]).backward()
        tried = {e: (image + e * x.grad[0].sign()).clamp(0, 1) for e in (0.0, *epsilons)}
        wrong = [e for e, t in tried.items() if answers(module, t[None], level) != labels[level]]
        assert step == (wrong[0] if wrong else torch.inf)
        torch.testing.assert_close(result, tried[wrong[0]] if wrong else image)
    assert 0 in steps and steps.isinf().any() and steps[steps.isfinite()].unique().numel() > 4


def test_error_rates_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (1, 7, 20, 40, 333):
        steps = torch.randint(0, 12, (n,), generator=generator).double() / 10
        steps[steps > 1] = torch.inf
        rates = [0.05, 0.1, 0.15, 0.3, 1.0]
        for rate, found in zip(rates, epsilon_at_error_rates(steps, rates), strict=True):
            candidates = [e for e in sorted(steps.tolist()) if sum(s <= e for s in steps.tolist()) / n >= rate]
            assert found == candidates[0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "fgms"}, ConfigurationError, "Did you mean 'fgsm'?"),
        ({"level": 3}, ConfigurationError, "give 0 to 2, or -1"),
        ({"epsilon": 1}, ConfigurationError, "do not fit the attack 'fgsm'"),
        ({"images": torch.full((30, 6), 1.5)}, DataError, r"float images in \[0, 1\]"),
        ({"images": torch.ones(30, 6).long()}, DataError, r"float images in \[0, 1\]"),
        ({"target": torch.zeros(30).long()}, DataError, r"expected \(30, 3\)"),
        ({"target": torch.full((30, 3), -1)}, DataError, "30 rows have no label at level 'leaf'"),
    ],
)
def test_a_mistake_is_one_message(change: dict[str, Any], error: type[Exception], message: str) -> None:
    module, images, target = attacked_network()
    with pytest.raises(error, match=message):
        attack(**{"module": module, "images": images, "target": target, "method": "fgsm", **change})


def test_votes_have_no_gradient() -> None:
    module, images, target = attacked_network(combination="majority_vote")
    with pytest.raises(ConfigurationError, match=r"model\.combination has none"):
        attack(module, images, target, "fgsm")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art.estimators.classification", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nested-lightning\[attacks\]'"):
        minimal_fgsm(*attacked_network())


def test_no_rows() -> None:
    with pytest.raises(DataError, match="at least one row"):
        epsilon_at_error_rates(torch.empty(0))
