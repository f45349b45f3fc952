"""Temperature scaling and rejection samples, against planted truths and known distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from nested_lightning.errors import CalibrationError, ConfigurationError, NonFiniteError
from nested_lightning.functional.calibration import (
    fit_temperature,
    log_probabilities,
    rejection_count,
    sample_rejection,
)

METHODS = ["ece_grid", "nll"]


def planted(temperature, n=20_000, classes=5, seed=0, rejection=-math.inf):
    """Logits which are right once divided by ``temperature``, and labels drawn accordingly."""
    generator = torch.Generator().manual_seed(seed)
    honest = 2 * torch.randn(n, classes, generator=generator)
    target = torch.multinomial(honest.softmax(dim=1), 1, generator=generator).squeeze(1)
    return torch.cat([honest, torch.full((n, 1), rejection)], dim=1) * temperature, target


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- log-probabilities ----


def test_log_probabilities_by_numpy():
    logits = np.random.default_rng(0).normal(size=(7, 5)) * 4
    exponents = np.exp(logits / 1.7)
    expected = np.log(exponents / exponents.sum(axis=1, keepdims=True))[:, :-1]
    torch.testing.assert_close(log_probabilities(torch.tensor(logits), 1.7), torch.tensor(expected))


def test_rejected_mass_is_not_handed_on():
    logits = torch.tensor([[0.0, 0.0, 2.0]])
    rejected = logits.softmax(dim=1)[0, 2].item()
    assert log_probabilities(logits).exp().sum().item() == pytest.approx(1 - rejected)


def test_masked_rejection_holds_nothing():
    probabilities = log_probabilities(torch.tensor([[1.0, 2.0, -math.inf]]), torch.tensor(2.5)).exp()
    torch.testing.assert_close(probabilities, torch.tensor([[0.4, 0.8]]).softmax(dim=1))


def test_half_precision_logits_give_single_precision():
    assert log_probabilities(torch.zeros(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


@given(seed=st.integers(0, 10**6), temperature=st.floats(0.05, 20))
def test_temperature_never_changes_the_answer(seed, temperature):
    logits = torch.randn(20, 6, generator=generator(seed))
    assert torch.equal(log_probabilities(logits, temperature).argmax(dim=1), log_probabilities(logits).argmax(dim=1))


# ---- fitting ----


@pytest.mark.parametrize("temperature", [1.2, 1.8, 2.6])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rejection", [-math.inf, -9.0])
def test_planted_temperature_is_recovered(method, temperature, rejection):
    logits, target = planted(temperature, rejection=rejection)
    assert fit_temperature(logits, target, method) == pytest.approx(temperature, rel=0.06)


def test_nll_sharpens_and_the_grid_stays_at_one():
    logits, target = planted(0.4)
    assert fit_temperature(logits, target, "nll") == pytest.approx(0.4, rel=0.03)
    assert fit_temperature(logits, target, "ece_grid") == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_two_classes(method):
    logits, target = planted(2.0, classes=2, seed=1)
    assert fit_temperature(logits, target, method) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_nll_equals_scipy(seed):
    logits, target = planted(1 + seed, n=300, seed=seed)

    def nll(log_temperature):
        scaled = logits[:, :-1].double().numpy() / math.exp(log_temperature)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(300), target]))

    expected = optimize.minimize_scalar(nll, bounds=(math.log(0.05), math.log(20)), method="bounded").x
    assert math.log(fit_temperature(logits, target, "nll")) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_grid_equals_a_loop_with_another_ece(seed):
    logits, target = planted(1.9, n=400, seed=seed)

    def ece(temperature):
        scaled = logits[:, :-1].double() / temperature
        confidence, answer = (a.numpy() for a in scaled.softmax(dim=1).max(dim=1))
        place = np.minimum((confidence * 15).astype(int), 14)
        right = (answer == target.numpy()).astype(float)
        return sum(abs((right - confidence)[place == b].sum()) for b in range(15)) / 400

    grid = np.linspace(1, 3, 50)
    assert fit_temperature(logits, target) == pytest.approx(grid[np.argmin([ece(t) for t in grid])])


def test_number_of_bins_matters():
    logits, target = planted(1.9, n=60, seed=5)
    assert len({fit_temperature(logits, target, bins=bins) for bins in (1, 3, 15, 40)}) > 1


@pytest.mark.parametrize("method", METHODS)
def test_equally_good_temperatures_give_one(method):
    logits = torch.tensor([[0.0, 0.0, -math.inf]]).repeat(6, 1)
    assert fit_temperature(logits, torch.tensor([0, 1, 0, 1, 0, 1]), method) == 1.0


def test_rows_without_a_mistake_end_at_the_lower_bound():
    logits = torch.tensor([[2.0, 0.0, -math.inf], [0.0, 2.0, -math.inf]])
    assert fit_temperature(logits, torch.tensor([0, 1]), "nll") == pytest.approx(0.05)


@pytest.mark.parametrize("method", METHODS)
def test_unknown_rows_do_not_count(method):
    logits, target = planted(1.5, n=500)
    noise = torch.cat([torch.full((100, 5), 9.0), torch.full((100, 1), math.nan)], dim=1)
    padded = fit_temperature(torch.cat([noise, logits]), torch.cat([torch.full((100,), -1), target]), method)
    assert padded == fit_temperature(logits, target, method)


@pytest.mark.parametrize("method", METHODS)
def test_huge_logits_give_a_finite_temperature(method):
    logits, target = planted(1e5, n=200)
    assert 0.05 <= fit_temperature(logits, target, method) <= 20 + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_inference_tensors_are_taken(method):
    with torch.inference_mode():
        logits, target = planted(1.5, n=200)
    assert fit_temperature(logits, target, method) > 0


@pytest.mark.parametrize("n", [0, 4])
def test_refuses_rows_without_labels(n):
    with pytest.raises(CalibrationError, match="known at this level, but there is none"):
        fit_temperature(torch.zeros(n, 3), torch.full((n,), -1))


def test_refuses_probabilities():
    logits, target = planted(1.0, n=50, rejection=0.0)
    with pytest.raises(CalibrationError, match="are probabilities"):
        fit_temperature(logits.softmax(dim=1), target)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_logits_that_are_not_finite(value):
    logits, target = planted(1.0, n=50)
    logits[3, 1] = value
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        fit_temperature(logits, target)


def test_refuses_a_target_that_is_no_class():
    with pytest.raises(CalibrationError, match="class index 2, but the logits have 2 classes"):
        fit_temperature(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))


def test_refuses_other_shapes():
    with pytest.raises(CalibrationError, match=r"got \(4, 3\) and \(4, 2\)"):
        fit_temperature(torch.randn(4, 3), torch.zeros(4, 2, dtype=torch.long))


def test_refuses_an_unknown_method():
    with pytest.raises(ConfigurationError, match=r"'ece_gird'.*Did you mean 'ece_grid'\?"):
        fit_temperature(torch.randn(4, 3), torch.zeros(4, dtype=torch.long), "ece_gird")


# ---- rejection samples ----


@pytest.mark.parametrize("dim", [2, 3, 16, 64])
def test_sphere_is_uniform(dim):
    samples = sample_rejection(4000, dim, "sphere", generator())
    torch.testing.assert_close(samples.norm(dim=1), torch.ones(4000))
    torch.testing.assert_close(samples.mean(dim=0), torch.zeros(dim), atol=0.08 / math.sqrt(dim) + 0.01, rtol=0)
    # On the sphere a coordinate, moved to [0, 1], follows a beta distribution; every axis alike.
    for axis in (0, dim - 1):
        moved = (samples[:, axis].numpy() + 1) / 2
        assert stats.kstest(moved, stats.beta((dim - 1) / 2, (dim - 1) / 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("dim", [2, 3, 16, 64])
def test_orthant_is_uniform_on_its_part_of_the_sphere(dim):
    samples = sample_rejection(4000, dim, "orthant", generator())
    assert (samples >= 0).all()
    torch.testing.assert_close(samples.norm(dim=1), torch.ones(4000))
    for axis in (0, dim - 1):
        squared = samples[:, axis].numpy() ** 2
        assert stats.kstest(squared, stats.beta(0.5, (dim - 1) / 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("dim", [1, 2, 3, 16, 64])
def test_ball_is_uniform_in_volume_and_direction(dim):
    samples = sample_rejection(4000, dim, "ball", generator())
    radius = samples.norm(dim=1)
    assert stats.kstest(radius.numpy() ** dim, "uniform").pvalue > 1e-3
    direction = (samples / radius.unsqueeze(1)).mean(dim=0)
    torch.testing.assert_close(direction, torch.zeros(dim), atol=0.08, rtol=0)


@pytest.mark.parametrize("distribution", ["sphere", "orthant", "ball"])
def test_every_sample_is_its_own_and_the_seed_decides(distribution):
    samples = sample_rejection(500, 8, distribution, generator(1), dtype=torch.float64)
    assert samples.dtype == torch.float64 and samples.shape == (500, 8)
    assert len(samples.unique(dim=0)) == 500
    assert torch.equal(samples, sample_rejection(500, 8, distribution, generator(1), dtype=torch.float64))
    assert not torch.equal(samples, sample_rejection(500, 8, distribution, generator(2), dtype=torch.float64))


def test_sampling_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    sample_rejection(10, 4, "ball", generator())
    assert torch.equal(before, torch.get_rng_state())


def test_refuses_an_unknown_distribution():
    with pytest.raises(ConfigurationError, match=r"'spere'.*Did you mean 'sphere'\?"):
        sample_rejection(4, 2, "spere", generator())


def test_rejection_count_by_hand():
    assert [rejection_count(6000, dim) for dim in (1, 4, 64)] == [3000, 6000, 24000]
    assert rejection_count(0, 64) == 0


@settings(max_examples=50)
@given(n=st.integers(2, 10**6), dim=st.integers(1, 2048))
def test_rejection_count_grows_with_both(n, dim):
    count = rejection_count(n, dim)
    assert isinstance(count, int) and count >= n // 2
    assert rejection_count(2 * n, dim) > count and rejection_count(n, 4 * dim) >= 2 * count - 2
