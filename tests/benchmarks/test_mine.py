"""Mutual information against values known in closed form."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.paper.mine import InformationEstimate, mutual_information
from nested_lightning.errors import ConfigurationError, DataError


def gaussians(rho: float, n: int = 80000, dims: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two samples [n, dims] whose columns correlate pairwise; each pair shares -0.5 log(1 - rho^2) nats."""
    x, noise = torch.randn(2, n, dims, generator=torch.Generator().manual_seed(100 + seed))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def shared(rho: float) -> float:
    return -0.5 * math.log(1 - rho**2)


def quick(x: Tensor, z: Tensor, seed: int = 0, steps: int = 300) -> InformationEstimate:
    return mutual_information(x, z, steps, 512, hidden=32, learning_rate=5e-3, every=steps, seed=seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_correlated_gaussians(rho: float, seed: int) -> None:
    assert quick(*gaussians(rho, seed=seed), seed=seed).nats == pytest.approx(shared(rho), rel=0.1)


@pytest.mark.parametrize("rows", [200, 20000])
def test_independent_samples_share_nothing_however_few(rows: int) -> None:
    # A network that was measured on the rows it has learned would find 0.3 nats in the noise of 200 rows.
    assert quick(*gaussians(0, rows, dims=3)).nats < 0.01


def test_a_dependence_without_correlation() -> None:
    x, _ = gaussians(0, 20000)
    z = (x.abs() > x.abs().median()).long()
    assert abs(torch.corrcoef(torch.cat([x, z], dim=1).T)[0, 1]) < 0.02
    assert quick(x, z, steps=1200).nats == pytest.approx(math.log(2), rel=0.1)


def test_information_adds_up_over_dimensions_in_any_basis() -> None:
    x, z = gaussians(0.7, dims=4)
    basis, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)))
    assert quick(x @ basis, z, steps=500).nats == pytest.approx(4 * shared(0.7), rel=0.1)


def test_neither_units_nor_a_stretched_scale_nor_a_constant_column_matter() -> None:
    x, z = gaussians(0.9, 20000)
    columns = torch.cat([1e6 * x + 5, torch.full_like(x, 7)], dim=1)
    assert quick(columns, 1e-6 * z.exp().log1p()).nats == pytest.approx(shared(0.9), rel=0.1)


def test_the_seed_decides_alone_and_torch_s_numbers_are_left_alone() -> None:
    x, z = gaussians(0.9, 500)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = mutual_information(x, z, steps=50, every=20)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    with torch.no_grad():
        assert mutual_information(x, z, steps=50, every=20) == first
    assert mutual_information(x, z, steps=50, every=20, seed=1).history != first.history
    assert first.steps == [20, 40, 50] and len(first.history) == 3 and first.nats == first.history[-1]


@pytest.mark.parametrize(
    ("x", "z", "names"),
    [
        (torch.zeros(5, 1, 2), torch.zeros(5, 1), r"\[5, 1, 2\] and \[5, 1\]"),
        (torch.zeros(5, 1), torch.zeros(6, 1), r"\[5, 1\] and \[6, 1\]"),
        (torch.zeros(3, 1), torch.zeros(3, 1), "at least 4"),
        (torch.full((5, 1), torch.nan), torch.zeros(5, 1), "NaN"),
    ],
)
def test_samples_that_cannot_be_used(x: Tensor, z: Tensor, names: str) -> None:
    with pytest.raises(DataError, match=names):
        mutual_information(x, z)


@pytest.mark.parametrize("name", ["steps", "batch_size", "hidden", "learning_rate", "every"])
def test_an_argument_that_is_not_positive(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be positive, got 0"):
        mutual_information(*gaussians(0, 10), **{name: 0})
