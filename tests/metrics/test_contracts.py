"""What every metric keeps: any batching, several processes, copies, inference mode, a small state, a plot."""

import copy
import pickle
from functools import partial

import pytest
import torch
from helpers.trees import TREE, predictions

from nested_lightning import metrics

pyplot = pytest.importorskip("matplotlib.pyplot")


def of_level(seed, n=60):
    logs, target = predictions(seed, n)
    return logs[1].exp(), target[:, 1]


def of_paths(seed, n=60):
    logs, target = predictions(seed, n)
    return torch.stack([log_p.argmax(dim=1) for log_p in logs], dim=1), target


METRICS = [
    *((getattr(metrics, f"Level{name}"), of_level) for name in ("Accuracy", "Confidence", "ECE", "AURC")),
    *((getattr(metrics, f"Hierarchical{name}"), of_paths) for name in ("Precision", "Recall", "F1")),
    (metrics.PathAccuracy, of_paths),
    (partial(metrics.TreeDistance, TREE), of_paths),
    (partial(metrics.InconsistencyRate, TREE), lambda *args: of_paths(*args)[:1]),
    (partial(metrics.PathAURC, TREE), predictions),
    (partial(metrics.NestedMetrics, TREE), predictions),
]
every_metric = pytest.mark.parametrize(("make", "batch"), METRICS)


def fed(metric, *batches):
    for batch in batches:
        metric.update(*batch)
    return metric


def assert_same(metric, other):
    torch.testing.assert_close(metric.compute(), other.compute(), equal_nan=True)


@every_metric
def test_batches_processes_and_copies_add_up(make, batch):
    both, other = fed(make(), batch(1), batch(2)), fed(make(), batch(2))
    # What gathering over two processes returns: this one's state and the other's.
    states = iter(other.metric_state.values())
    synced = make(dist_sync_fn=lambda state, group: [state, next(states)], distributed_available_fn=lambda: True)
    assert_same(fed(synced, batch(1)), both)
    first = copy.deepcopy(pickle.loads(pickle.dumps(fed(make(), batch(1)))))
    first.merge_state(other)
    assert_same(first, both)


@every_metric
def test_reset_under_inference_mode_leaves_a_usable_metric(make, batch):
    with torch.inference_mode():
        metric = fed(make(), batch(1))
        metric.reset()
    assert_same(fed(metric, batch(2)), fed(make(), batch(2)))


@every_metric
def test_forward_returns_the_value_of_the_batch(make, batch):
    metric, alone = fed(make(), batch(1)), fed(make(), batch(2))
    torch.testing.assert_close(metric(*batch(2)), alone.compute(), equal_nan=True)
    assert_same(metric, fed(alone, batch(1)))


@every_metric
def test_the_state_does_not_grow_and_is_neither_in_checkpoints_nor_in_the_graph(make, batch):
    sizes, metric = [], make()
    for n in (3, 3000):
        inputs, *rest = batch(0, n)
        for tensor in inputs if isinstance(inputs, list) else [inputs]:
            tensor.requires_grad_(tensor.is_floating_point())
        metric.update(inputs, *rest)
        sizes.append(sum(state.numel() for state in metric.metric_state.values()))
    assert sizes[0] == sizes[1] < 100_000
    assert metric.state_dict() == {}
    assert not any(state.requires_grad for state in metric.metric_state.values())


@every_metric
def test_plot(make, batch):
    metric = fed(make(), batch(1))
    figure, axes = metric.plot()
    assert axes.figure is figure and metric.plot(ax=axes)[1] is axes
    if not isinstance(metric, metrics.NestedMetrics):
        _, axes = metric.plot([torch.tensor(0.1), torch.tensor(0.2)])
        assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.2])
    pyplot.close("all")
