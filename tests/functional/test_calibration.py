"""Temperature scaling and rejection samples, against planted truths and known distributions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from nested_lightning.errors import CalibrationError, ConfigurationError, DataError, NonFiniteError
from nested_lightning.functional.calibration import (
    fit_temperature,
    log_probabilities,
    rejection_count,
    sample_rejection,
    search_temperature,
)

both_methods = pytest.mark.parametrize("method", ["ece_grid", "nll"])


def planted(temperature, n=20_000, classes=5, seed=0, rejection=-math.inf):
    """Return logits that are calibrated once divided by ``temperature``, and labels drawn accordingly."""
    honest = 2 * torch.randn(n, classes, generator=generator(seed))
    target = torch.multinomial(honest.softmax(dim=1), 1, generator=generator(seed + 1000)).squeeze(1)
    return torch.cat([honest, torch.full((n, 1), rejection)], dim=1) * temperature, target


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- log-probabilities ----


def test_log_probabilities_by_numpy():
    logits = np.random.default_rng(0).normal(size=(7, 5)) * 4
    exponents = np.exp(logits / 1.7)
    expected = np.log(exponents / exponents.sum(axis=1, keepdims=True))[:, :-1]
    torch.testing.assert_close(log_probabilities(torch.tensor(logits), 1.7), torch.tensor(expected))


def test_rejected_mass_is_not_redistributed():
    logits = torch.tensor([[0.0, 0.0, 2.0]])
    rejected = logits.softmax(dim=1)[0, 2].item()
    assert log_probabilities(logits).exp().sum().item() == pytest.approx(1 - rejected)
    probabilities = log_probabilities(torch.tensor([[1.0, 2.0, -math.inf]]), torch.tensor(2.5)).exp()
    torch.testing.assert_close(probabilities, torch.tensor([[0.4, 0.8]]).softmax(dim=1))


def test_half_precision_logits_give_single_precision():
    assert log_probabilities(torch.zeros(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


@given(seed=st.integers(0, 10**6), temperature=st.floats(0.05, 20))
def test_temperature_never_changes_the_prediction(seed, temperature):
    logits = torch.randn(20, 6, generator=generator(seed))
    assert torch.equal(log_probabilities(logits, temperature).argmax(dim=1), log_probabilities(logits).argmax(dim=1))


# ---- fitting ----


@pytest.mark.parametrize("temperature", [1.2, 1.8, 2.6])
@pytest.mark.parametrize("rejection", [-math.inf, -9.0])
@both_methods
def test_planted_temperature_is_recovered(method, temperature, rejection):
    logits, target = planted(temperature, rejection=rejection)
    assert fit_temperature(logits, target, method) == pytest.approx(temperature, rel=0.06)


def test_nll_sharpens_and_the_grid_stays_at_one():
    logits, target = planted(0.4)
    assert fit_temperature(logits, target, "nll") == pytest.approx(0.4, rel=0.03)
    assert fit_temperature(logits, target, "ece_grid") == 1.0


@both_methods
@pytest.mark.parametrize("size", [1, 100, 300])
def test_batches_give_the_temperature_of_the_whole(method, size):
    logits, target = planted(1.9, n=300)
    passes = []

    def batches():
        passes.append(1)
        for z, y in zip(logits.double().split(size), target.split(size), strict=True):
            yield partial(log_probabilities, z), y

    assert search_temperature(batches, method) == pytest.approx(fit_temperature(logits, target, method), rel=1e-6)
    assert len(passes) == 1 or method == "nll"


def test_probabilities_above_one_are_refused():
    with pytest.raises(DataError, match="between 0 and 1"):
        fit_temperature(*planted(1.0, n=20), combine=lambda log_p: log_p + 1)


@both_methods
def test_two_classes(method):
    logits, target = planted(2.0, classes=2, seed=1)
    assert fit_temperature(logits, target, method) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_nll_equals_a_search_over_numpys_likelihood(seed):
    logits, target = planted(1 + seed, n=300, seed=seed)

    def nll(log_temperature):
        scaled = logits[:, :-1].double().numpy() / math.exp(log_temperature)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(300), target]))

    expected = optimize.brute(lambda t: nll(t[0]), [(math.log(0.05), math.log(20))], Ns=200)[0]
    assert math.log(fit_temperature(logits, target, "nll")) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_grid_equals_a_loop_with_another_ece(seed):
    logits, target = planted(1.9, n=400, seed=seed)

    def ece(temperature):
        scaled = logits[:, :-1].double() / temperature
        confidence, predicted = (a.numpy() for a in scaled.softmax(dim=1).max(dim=1))
        place = np.minimum((confidence * 15).astype(int), 14)
        correct = (predicted == target.numpy()).astype(float)
        return sum(abs((correct - confidence)[place == b].sum()) for b in range(15)) / 400

    grid = np.linspace(1, 3, 50)
    assert fit_temperature(logits, target) == pytest.approx(grid[np.argmin([ece(t) for t in grid])])


def test_number_of_bins_matters():
    logits, target = planted(1.9, n=60, seed=5)
    assert len({fit_temperature(logits, target, bins=bins) for bins in (1, 3, 15, 40)}) > 1


@both_methods
def test_equally_good_temperatures_give_one(method):
    logits = torch.tensor([[0.0, 0.0, -math.inf]]).repeat(6, 1)
    assert fit_temperature(logits, torch.tensor([0, 1, 0, 1, 0, 1]), method) == 1.0


def test_samples_without_a_mistake_end_at_the_lower_bound():
    logits = torch.tensor([[2.0, 0.0, -math.inf], [0.0, 2.0, -math.inf]])
    assert fit_temperature(logits, torch.tensor([0, 1]), "nll") == pytest.approx(0.05)


@both_methods
def test_unknown_samples_do_not_count(method):
    logits, target = planted(1.5, n=500)
    noise = torch.cat([torch.full((100, 5), 9.0), torch.full((100, 1), math.nan)], dim=1)
    padded = fit_temperature(torch.cat([noise, logits]), torch.cat([torch.full((100,), -1), target]), method)
    assert padded == fit_temperature(logits, target, method)


@both_methods
def test_huge_logits_and_inference_tensors_are_taken(method):
    with torch.inference_mode():
        logits, target = planted(1e5, n=200)
    assert 0.05 <= fit_temperature(logits, target, method) <= 20 + 1e-9


def one_bad(value):
    logits, _ = planted(1.0, n=50)
    logits[3, 1] = value
    return logits


@pytest.mark.parametrize(("logits", "target", "error", "message"), [
    (torch.zeros(0, 3), [], CalibrationError, "known at this level, but there is none"),
    (torch.zeros(4, 3), [-1] * 4, CalibrationError, "known at this level, but there is none"),
    (torch.randn(50, 6).softmax(dim=1), [0] * 50, CalibrationError, "are probabilities"),
    *((one_bad(x), [0] * 50, NonFiniteError, "NaN or infinite") for x in (math.nan, math.inf, -math.inf)),
    (torch.randn(4, 3), [0, 1, 2, 0], CalibrationError, "class index 2, but the logits have 2 classes"),
    (torch.randn(4, 3), [[0, 0]] * 4, CalibrationError, r"got \(4, 3\) and \(4, 2\)"),
])  # fmt: skip
def test_refuses_what_cannot_be_calibrated(logits, target, error, message):
    with pytest.raises(error, match=message):
        fit_temperature(logits, torch.tensor(target, dtype=torch.long))


def test_refuses_unknown_names():
    with pytest.raises(ConfigurationError, match=r"'ece_gird'.*Did you mean 'ece_grid'\?"):
        fit_temperature(torch.randn(4, 3), torch.zeros(4, dtype=torch.long), "ece_gird")
    with pytest.raises(ConfigurationError, match=r"'spere'.*Did you mean 'sphere'\?"):
        sample_rejection(4, 2, "spere", generator())


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
def test_samples_are_independent_and_depend_on_the_seed_alone(distribution):
    before = torch.get_rng_state()
    first, again, other = (
        sample_rejection(500, 8, distribution, generator(seed), dtype=torch.float64) for seed in (1, 1, 2)
    )
    assert first.dtype == torch.float64 and first.shape == (500, 8)
    assert len(first.unique(dim=0)) == 500
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_rejection_count_by_hand():
    assert [rejection_count(6000, dim) for dim in (1, 4, 64)] == [3000, 6000, 24000]
    assert rejection_count(0, 64) == 0


@settings(max_examples=50)
@given(n=st.integers(2, 10**6), dim=st.integers(1, 2048))
def test_rejection_count_grows_with_both(n, dim):
    count = rejection_count(n, dim)
    assert isinstance(count, int) and count >= n // 2
    assert rejection_count(2 * n, dim) > count and rejection_count(n, 4 * dim) >= 2 * count - 2
