"""LevelAccuracy, LevelConfidence and LevelECE accumulate what their functional forms compute at once."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.reliability import level_accuracy, level_confidence, level_ece
from nested_lightning.metrics import LevelAccuracy, LevelConfidence, LevelECE

PAIRS = [(LevelAccuracy, level_accuracy), (LevelConfidence, level_confidence), (LevelECE, level_ece)]


def batch(seed=0, n=60, classes=3):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(n, classes, generator=generator)).softmax(dim=1)
    return probabilities, torch.randint(-1, classes, (n,), generator=generator)


@pytest.mark.parametrize(("metric_class", "function"), PAIRS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_any_batching_gives_the_functional_value(metric_class, function, seed, sizes):
    probabilities, target = batch(seed, sum(sizes))
    metric = metric_class()
    for part, labels in zip(probabilities.split(sizes), target.split(sizes), strict=True):
        metric.update(part, labels)
    assert metric.compute().item() == pytest.approx(function(probabilities, target).item(), abs=1e-12, nan_ok=True)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("metric_class", [metric for metric, _ in PAIRS])
def test_nothing_seen_gives_nan(metric_class):
    metric = metric_class()
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([-1]))
    assert math.isnan(metric.compute())


def test_collection_of_one_level():
    metrics = MetricCollection([LevelAccuracy(), LevelConfidence(), LevelECE()])
    metrics.update(*batch(1))
    metrics.update(*batch(2))
    both = [torch.cat(parts) for parts in zip(batch(1), batch(2), strict=True)]
    for metric_class, function in PAIRS:
        torch.testing.assert_close(metrics.compute()[metric_class.__name__], function(*both))


def test_refuses_other_shapes_and_no_bins():
    with pytest.raises(DataError, match=r"got \(2, 3\) and \(3,\)"):
        LevelECE().update(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ConfigurationError, match="at least 1 bin; got n_bins=0"):
        LevelECE(n_bins=0)
