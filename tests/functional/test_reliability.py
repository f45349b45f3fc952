"""Metrics of one level, against scikit-learn, netcal, torchmetrics and loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from nested_lightning.errors import DataError
from nested_lightning.functional.reliability import level_accuracy, level_confidence, level_ece, reliability_bins


def batch(seed, n=200, classes=4, unknown=0.2):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (3 * torch.randn(n, classes + 1, generator=generator)).softmax(dim=1)[:, :-1]
    target = torch.randint(classes, (n,), generator=generator)
    return probabilities, target.masked_fill(torch.rand(n, generator=generator) < unknown, -1)


def ece_by_loops(probabilities, target, bins):
    known = [(max(p), p.index(max(p)) == t) for p, t in zip(probabilities, target, strict=True) if t != -1]
    total = 0.0
    for b in range(bins):
        last = b == bins - 1
        inside = [(c, r) for c, r in known if c >= b / bins and (c < (b + 1) / bins or last)]
        if inside:
            accuracy, confidence = (sum(values) / len(inside) for values in zip(*reversed(inside), strict=True))
            total += len(inside) / len(known) * abs(accuracy - confidence)
    return total if known else math.nan


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 40), bins=st.integers(1, 20), unknown=st.sampled_from([0, 0.3, 1]))
def test_equal_the_loops(seed, n, bins, unknown):
    probabilities, target = batch(seed, n, unknown=unknown)
    known = target >= 0
    expected = ece_by_loops(probabilities.double().tolist(), target.tolist(), bins)
    assert level_ece(probabilities, target, bins).item() == pytest.approx(expected, abs=1e-9, nan_ok=True)
    if known.any():
        predicted = probabilities.argmax(dim=1)
        assert level_accuracy(probabilities, target).item() == accuracy_score(target[known], predicted[known])
        mean = probabilities[known].double().max(dim=1).values.mean().item()
        assert level_confidence(probabilities, target).item() == pytest.approx(mean)


@pytest.mark.parametrize("seed", range(3))
def test_ece_equals_netcal(seed):
    netcal = pytest.importorskip("netcal.metrics")
    probabilities, target = batch(seed, n=2000, unknown=0)
    expected = netcal.ECE(15).measure(probabilities.double().numpy(), target.numpy())
    assert level_ece(probabilities, target).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_ece_equals_torchmetrics_where_no_confidence_is_one(seed):
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities, target = batch(seed, n=2000)
    expected = multiclass_calibration_error(probabilities, target, 4, n_bins=15, ignore_index=-1)
    assert level_ece(probabilities, target).item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_confidence_of_one_is_in_the_last_bin():
    # By hand: one bin, mean confidence 0.975, accuracy 0.5. A bin of its own for 1.0 would give 0.525.
    probabilities = torch.tensor([[1.0, 0.0], [0.95, 0.05]])
    assert level_ece(probabilities, torch.tensor([1, 0]), bins=10).item() == pytest.approx(0.475)


def test_bins_are_closed_on_the_left():
    probabilities = torch.tensor([[0.0, 0.0], [0.25, 0.0], [0.5, 0.0], [0.75, 0.0], [1.0, 0.0]])
    assert reliability_bins(probabilities, torch.zeros(5, dtype=torch.long), 4)[:, 0].tolist() == [1, 1, 1, 2]


def test_rejected_mass_lowers_the_confidence():
    assert level_confidence(torch.tensor([[0.3, 0.1]]), torch.tensor([0])).item() == pytest.approx(0.3)


@pytest.mark.parametrize("metric", [level_accuracy, level_confidence, level_ece])
def test_nothing_known_gives_nan_and_what_does_not_fit_is_refused(metric):
    assert math.isnan(metric(torch.tensor([[0.3, 0.7]]), torch.tensor([-1])))
    assert math.isnan(metric(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)))
    for values in ([1.2, 0.0], [-0.5, 0.5], [math.nan, 0.5]):
        with pytest.raises(DataError, match=r"probabilities between 0 and 1.*apply softmax"):
            metric(torch.tensor([values]), torch.tensor([0]))
    with pytest.raises(DataError, match=r"got \(2, 3\) and \(2, 2\)"):
        metric(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.long))


def test_a_million_samples_sum_exactly():
    confidence = torch.full((1_000_000, 1), 0.1)
    mean = level_confidence(confidence, torch.zeros(1_000_000, dtype=torch.long)).item()
    assert mean == pytest.approx(float(torch.tensor(0.1)), rel=1e-12)
