"""Risk-coverage curves, against scikit-learn, every order of ties, and what must hold for any predictions."""

import math
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from nested_lightning.errors import DataError
from nested_lightning.functional.selective import BINS, area_of, area_under_risk_coverage, risk_coverage, risk_histogram

PREDICTIONS = st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.7, 0.9, 1.0]), st.booleans()), min_size=1, max_size=30)


def tensors(predictions):
    confidence, correct = zip(*predictions, strict=True)
    return torch.tensor(confidence, dtype=torch.float64), torch.tensor(correct)


def risks_in_order(correct):
    incorrect = 0
    for kept, one in enumerate(correct, start=1):
        incorrect += not one
        yield incorrect / kept


@settings(deadline=None, max_examples=30)
@given(predictions=PREDICTIONS.filter(lambda predictions: len(predictions) <= 6))
def test_ties_are_the_mean_over_every_order(predictions):
    ordered = [p for p in permutations(predictions) if all(a[0] >= b[0] for a, b in pairwise(p))]
    curves = torch.tensor([list(risks_in_order([correct for _, correct in order])) for order in ordered])
    coverage, risk = risk_coverage(*tensors(predictions))
    torch.testing.assert_close(risk.float(), curves.mean(dim=0))
    assert coverage.tolist() == pytest.approx([(k + 1) / len(predictions) for k in range(len(predictions))])
    assert area_under_risk_coverage(*tensors(predictions)).item() == pytest.approx(curves.mean().item(), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(predictions=PREDICTIONS.filter(lambda predictions: any(correct for _, correct in predictions)))
def test_risk_is_one_minus_the_precision(predictions):
    confidence, correct = tensors(predictions)
    coverage, risk = risk_coverage(confidence, correct)
    precision, _, thresholds = precision_recall_curve(correct.numpy(), confidence.numpy())
    for p, threshold in zip(precision, thresholds, strict=False):
        kept = int((confidence >= threshold).sum())
        assert coverage[kept - 1].item() == pytest.approx(kept / len(predictions))
        assert risk[kept - 1].item() == pytest.approx(1 - p)


@settings(deadline=None, max_examples=60)
@given(predictions=PREDICTIONS, seed=st.integers(0, 10**6))
def test_properties(predictions, seed):
    confidence, correct = tensors(predictions)
    area = area_under_risk_coverage(confidence, correct).item()
    assert 0 <= area <= 1
    assert area == pytest.approx(risk_coverage(confidence, correct)[1].mean().item(), abs=1e-12)
    order = torch.randperm(len(correct), generator=torch.Generator().manual_seed(seed))
    assert area_under_risk_coverage(confidence[order], correct[order]).item() == area
    assert area_under_risk_coverage(confidence**3 - 7, correct).item() == area
    assert area_under_risk_coverage(confidence, torch.ones_like(correct)).item() == 0
    assert area_under_risk_coverage(confidence, torch.zeros_like(correct)).item() == 1
    error_rate = 1 - correct.double().mean().item()
    assert area_under_risk_coverage(torch.full_like(confidence, 0.3), correct).item() == pytest.approx(error_rate)


def test_by_hand():
    confidence, correct = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([True, False, True, True])
    assert area_under_risk_coverage(confidence, correct).item() == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sharpness", [0.5, 2, 6, 12])
@pytest.mark.parametrize("seed", range(3))
def test_histogram_is_as_good_as_the_exact_curve(dtype, sharpness, seed):
    generator = torch.Generator().manual_seed(seed)
    # Sharpness 12: three of four confidences are above 0.99, and one of six is 1 in float32.
    log_odds = sharpness * (torch.randn(5000, generator=generator, dtype=torch.float64).abs() + 0.1)
    confidence = log_odds.sigmoid().to(dtype)
    correct = torch.rand(5000, generator=generator) < (log_odds / sharpness * 2).sigmoid()
    known = torch.rand(5000, generator=generator) < 0.9
    parts = [part.split(700) for part in (confidence.log(), correct, known)]
    counts = sum(risk_histogram(*part) for part in zip(*parts, strict=True))
    assert counts.sum() == known.sum() and counts.dtype == torch.long
    expected = area_under_risk_coverage(confidence[known], correct[known]).item()
    assert 0.01 < expected < 0.5
    assert area_of(counts).item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_crowded_confidences_with_few_mistakes(seed):
    # As a calibrated model has them: all from 0.97 to 0.99, ten of 5,000 incorrect. The area is below 0.001.
    generator = torch.Generator().manual_seed(seed)
    log_odds = 3.5 + torch.rand(5000, generator=generator, dtype=torch.float64)
    correct = torch.ones(5000, dtype=torch.bool)
    correct[log_odds.argsort()[torch.randint(2500, (10,), generator=generator)]] = False
    log_confidence = torch.nn.functional.logsigmoid(log_odds)
    expected = area_under_risk_coverage(log_confidence, correct).item()
    assert 0 < expected < 1e-3
    area = area_of(risk_histogram(log_confidence, correct, torch.ones_like(correct))).item()
    assert area == pytest.approx(expected, rel=0.02)


def test_confidences_within_a_millionth_of_one_are_told_apart():
    generator = torch.Generator().manual_seed(0)
    doubt = 1e-6 * torch.rand(5000, generator=generator, dtype=torch.float64)
    correct = torch.rand(5000, generator=generator, dtype=torch.float64) > 1e6 * doubt
    log_confidence = torch.log1p(-doubt)
    expected = area_under_risk_coverage(log_confidence, correct).item()
    error_rate = 1 - correct.double().mean().item()
    assert expected < 0.6 * error_rate  # a histogram that saw one bin would give the error rate
    area = area_of(risk_histogram(log_confidence, correct, torch.ones_like(correct))).item()
    assert area == pytest.approx(expected, abs=1e-3)


def test_ends_of_the_histogram():
    log_confidence = torch.tensor([-math.inf, 0.0, 1e-7, math.nan])  # rounding may give a little more than 0
    counts = risk_histogram(log_confidence, torch.tensor([False, True, True, False]), torch.ones(4, dtype=torch.bool))
    assert counts[0].tolist() == [2, 0] and counts[-1].tolist() == [0, 2]
    assert counts.shape == (BINS, 2)


def test_large_counts_stay_exact():
    counts = torch.tensor([[10**9, 10**9], [0, 10**9]])
    # The curve is 0 to a third, then (x - 1/3) / (2 x): its integral is 1/3 - log(3) / 6.
    assert area_of(counts).item() == pytest.approx(1 / 3 - math.log(3) / 6, abs=1e-8)


def test_no_prediction_gives_nan_and_shapes_are_checked():
    assert math.isnan(area_under_risk_coverage(torch.zeros(0), torch.zeros(0, dtype=torch.bool)))
    assert risk_coverage(torch.zeros(0), torch.zeros(0, dtype=torch.bool))[1].shape == (0,)
    assert math.isnan(area_of(torch.zeros(BINS, 2, dtype=torch.long)))
    for function in (risk_coverage, area_under_risk_coverage):
        with pytest.raises(DataError, match=r"confidence \[N\] and correct \[N\]; got \(2,\) and \(3,\)"):
            function(torch.zeros(2), torch.zeros(3, dtype=torch.bool))
