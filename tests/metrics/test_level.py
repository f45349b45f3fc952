"""LevelAccuracy, LevelConfidence and LevelECE accumulate what their functional forms compute at once."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MetricCollection

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.reliability import level_accuracy, level_confidence, level_ece
from nested_lightning.metrics import LevelAccuracy, LevelConfidence, LevelECE

PAIRS = [(LevelAccuracy, level_accuracy), (LevelConfidence, level_confidence), (LevelECE, level_ece)]
METRICS = [metric for metric, _ in PAIRS]


def batch(seed=0, rows=60, classes=3):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(rows, classes, generator=generator)).softmax(dim=1)
    return probabilities, torch.randint(-1, classes, (rows,), generator=generator)


@pytest.mark.parametrize(("metric_class", "function"), PAIRS)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_any_batching_gives_the_functional_value(metric_class, function, seed, sizes):
    probabilities, target = batch(seed, sum(sizes))
    metric = metric_class()
    for part, labels in zip(probabilities.split(sizes), target.split(sizes), strict=True):
        metric.update(part, labels)
    assert metric.compute().item() == pytest.approx(function(probabilities, target).item(), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("metric_class", METRICS)
def test_merging_two_metrics_equals_one(metric_class):
    first, second, both = metric_class(), metric_class(), metric_class()
    for metric, seed in ((first, 1), (second, 2), (both, 1), (both, 2)):
        metric.update(*batch(seed))
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), both.compute())


@pytest.mark.parametrize("metric_class", METRICS)
def test_processes_are_summed(metric_class):
    other, both = metric_class(), metric_class()
    other.update(*batch(2))
    # What gathering over two processes returns: this one's state and the other's.
    metric = metric_class(dist_sync_fn=lambda state, group: [state, other.sums], distributed_available_fn=lambda: True)
    metric.update(*batch(1))
    both.update(*batch(1))
    both.update(*batch(2))
    torch.testing.assert_close(metric.compute(), both.compute())


@pytest.mark.parametrize("metric_class", METRICS)
def test_state_is_small_picklable_and_not_in_checkpoints(metric_class):
    metric = metric_class()
    metric.update(*batch(rows=5000))
    assert sum(state.numel() for state in metric.metric_state.values()) <= 45
    assert metric.state_dict() == {}
    again = pickle.loads(pickle.dumps(metric))
    again.update(*batch(3))
    metric.update(*batch(3))
    assert torch.equal(again.compute(), metric.compute())


@pytest.mark.parametrize("metric_class", METRICS)
def test_reset_under_inference_mode_leaves_a_usable_metric(metric_class):
    metric = metric_class()
    with torch.inference_mode():
        metric.update(*batch())
        value = metric.compute()
        metric.reset()
    metric.update(*batch())
    torch.testing.assert_close(metric.compute(), value.clone())


@pytest.mark.parametrize("metric_class", METRICS)
def test_forward_returns_the_value_of_the_batch(metric_class):
    metric, alone = metric_class(), metric_class()
    metric.update(*batch(1))
    alone.update(*batch(2))
    torch.testing.assert_close(metric(*batch(2)), alone.compute())
    alone.update(*batch(1))
    torch.testing.assert_close(metric.compute(), alone.compute())


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("metric_class", METRICS)
def test_nothing_seen_gives_nan(metric_class):
    metric = metric_class()
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([-1]))
    assert math.isnan(metric.compute())


@pytest.mark.parametrize("metric_class", METRICS)
def test_probabilities_with_a_graph_do_not_enter_the_state(metric_class):
    probabilities, target = batch()
    metric = metric_class()
    metric.update(probabilities.requires_grad_(), target)
    assert not metric.sums.requires_grad


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
    with pytest.raises(ConfigurationError, match="at least 1 bin; got bins=0"):
        LevelECE(bins=0)


@pytest.mark.parametrize("metric_class", [LevelAccuracy, LevelConfidence])
def test_plot(metric_class):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    metric = metric_class()
    metric.update(*batch())
    figure, axes = metric.plot([metric.compute(), metric.compute()])
    assert axes.figure is figure and axes.lines
    pyplot.close("all")


def test_plot_of_values_of_the_calibration_error():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    _, axes = LevelECE().plot([torch.tensor(0.1), torch.tensor(0.2)])
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.2])
    pyplot.close("all")
