"""Mutual information against values known in closed form, and what Figure 4 measures."""

import json
import math
from typing import Any

import pytest
import torch
from helpers.toy import toy_module
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks.paper.mine import InformationEstimate, estimate_information
from benchmarks.paper.tables import information
from benchmarks.paper.tables.information import draw_information, measure_information
from nested_lightning import NestedLightningModule
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.models import ConvBottleneck, UNetEncoder


def gaussians(rho: float, n: int = 80000, dims: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two samples [n, dims] whose columns correlate pairwise; each pair shares -0.5 log(1 - rho^2) nats."""
    x, noise = torch.randn(2, n, dims, generator=torch.Generator().manual_seed(100 + seed))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def shared(rho: float) -> float:
    return -0.5 * math.log(1 - rho**2)


def quick(x: Tensor, z: Tensor, seed: int = 0, steps: int = 300) -> InformationEstimate:
    return estimate_information(x, z, steps, 512, hidden=32, learning_rate=5e-3, every=steps, seed=seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_correlated_gaussians(rho: float, seed: int) -> None:
    assert quick(*gaussians(rho, seed=seed), seed=seed).nats == pytest.approx(shared(rho), rel=0.1)


@pytest.mark.parametrize("n", [200, 20000])
def test_independent_samples_share_nothing_however_few(n: int) -> None:
    # A network measured on the samples it has learned from would find 0.3 nats in the noise of 200.
    assert quick(*gaussians(0, n, dims=3)).nats < 0.01


def test_other_dependences() -> None:
    x, z = gaussians(0.7, dims=4)  # information adds up over dimensions, in any basis
    basis, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)))
    assert quick(x @ basis, z, steps=500).nats == pytest.approx(4 * shared(0.7), rel=0.1)
    x, z = gaussians(0.9, 20000)  # units, a stretched scale and a constant column do not matter
    columns = torch.cat([1e6 * x + 5, torch.full_like(x, 7)], dim=1)
    assert quick(columns, 1e-6 * z.exp().log1p()).nats == pytest.approx(shared(0.9), rel=0.1)
    x, _ = gaussians(0, 20000)
    z = (x.abs() > x.abs().median()).long()
    assert abs(torch.corrcoef(torch.cat([x, z], dim=1).T)[0, 1]) < 0.02
    assert quick(x, z, steps=1200).nats == pytest.approx(math.log(2), rel=0.1)


def test_only_the_seed_decides_and_the_global_random_state_does_not_change() -> None:
    x, z = gaussians(0.9, 500)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = estimate_information(x, z, steps=50, every=20)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    with torch.no_grad():
        assert estimate_information(x, z, steps=50, every=20) == first
    assert estimate_information(x, z, steps=50, every=20, seed=1).history != first.history
    assert first.steps == [20, 40, 50] and len(first.history) == 3 and first.nats == first.history[-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.zeros(5, 1, 2)}, DataError, r"\[5, 1, 2\] and \[5, 1\]"),
        ({"z": torch.zeros(6, 1)}, DataError, r"\[5, 1\] and \[6, 1\]"),
        ({"x": torch.zeros(3, 1), "z": torch.zeros(3, 1)}, DataError, "at least 4"),
        ({"x": torch.full((5, 1), torch.nan)}, DataError, "NaN"),
        *(
            ({name: 0}, ConfigurationError, f"{name} must be positive, got 0")
            for name in ("steps", "batch_size", "hidden", "learning_rate", "every")
        ),
    ],
)
def test_a_mistake_is_one_message(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        estimate_information(**{"x": torch.zeros(5, 1), "z": torch.zeros(5, 1), **change})


@pytest.fixture
def module() -> NestedLightningModule:
    torch.manual_seed(0)
    options = {"bottleneck": ConvBottleneck, "feature_channels": None, "bottleneck_channels": [4, 5, 6]}
    return toy_module(backbone=UNetEncoder(1, (2, 3)), **options).eval()


def test_the_three_maps(module: NestedLightningModule, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[tuple[Tensor, Tensor]] = []

    def spy(x: Tensor, z: Tensor, *args: Any, **options: Any) -> Any:
        pairs.append((x, z))
        return estimate_information(x, z, *args, **options)

    monkeypatch.setattr(information, "estimate_information", spy)
    images = torch.rand(600, 1, 16, 16)
    measure_information(module, images, steps=2)
    network = module.network
    with torch.no_grad():
        _, skip, f = network.backbone(images)
        h = network.bottlenecks[0](None, f)
        g = network.bottlenecks[1](h, skip)
    assert f.shape[2:] == h.shape[2:] == (4, 4) and g.shape[2:] == (8, 8)
    (f1, g1), (f2, h2) = pairs
    for found, whole in ((f1, f), (f2, f), (h2, h), (g1, g)):
        expected = avg_pool2d(whole, whole.shape[-1] // 2).flatten(1)  # windows that do not overlap at these sizes
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_plain_values_and_no_hooks_left(module: NestedLightningModule) -> None:
    images = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = measure_information(module, images, seed=3, steps=150)
    assert json.loads(json.dumps(found)) == found
    assert found["delta"] == found["FG"]["nats"] - found["FH"]["nats"]
    assert found["FG"]["steps"] == [100, 150] and found["rows"] == 100
    assert found == measure_information(module, images, seed=3, steps=150)
    assert not any(part._forward_hooks for part in module.network.modules())


def test_a_model_without_maps() -> None:
    flat = toy_module().eval()
    with pytest.raises(ConfigurationError, match=r"Sequential returned \[5, 8\].*UNetEncoder"):
        measure_information(flat, torch.rand(5, 6))
    assert not any(part._forward_hooks for part in flat.modules())


def test_curves_are_the_means_and_bands_contain_all_seeds() -> None:
    def seed(fg: list[float], fh: list[float]) -> dict[str, Any]:
        pairs = {pair: {"nats": h[-1], "steps": [10, 20], "history": h} for pair, h in (("FG", fg), ("FH", fh))}
        return {**pairs, "delta": fg[-1] - fh[-1]}

    figure = draw_information({"with": [seed([1, 2], [0, 1]), seed([2, 4], [0, 2])], "without": [seed([1, 1], [1, 2])]})
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[1.5, 3], [0, 1.5], [1, 1], [1, 2]]
    assert axes.lines[0].get_xdata().tolist() == [10, 20]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1 and band[:, 1].max() == 4
    assert "+1.50 with,  -1.00 without" in axes.get_title()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["I(F, G) with", "I(F, H) with", "I(F, G) without", "I(F, H) without"]
