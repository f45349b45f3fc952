"""What every metric keeps: any batching, several processes, copies, collections, inference mode, a small state."""

import copy
import math
import pickle
from functools import partial

import pytest
import torch
from helpers.trees import TREE, predictions
from torch.nn.functional import one_hot
from torchmetrics import MetricCollection
from torchmetrics.wrappers import BootStrapper

from nested_lightning import metrics
from nested_lightning.taxonomy import Taxonomy

pyplot = pytest.importorskip("matplotlib.pyplot")


def of_level(seed, n=60):
    logs, target = predictions(seed, n)
    return logs[1].exp(), target[:, 1]


def of_paths(seed, n=60):
    logs, target = predictions(seed, n)
    return torch.stack([log_p.argmax(dim=1) for log_p in logs], dim=1), target


# The same classes, of which others belong together.
OTHER_TREE = Taxonomy(TREE.levels, TREE.leaves[::-1])

METRICS = [
    *((getattr(metrics, f"Level{name}"), of_level) for name in ("Accuracy", "Confidence", "ECE", "AURC")),
    *((partial(getattr(metrics, f"Hierarchical{name}"), TREE), of_paths) for name in ("Precision", "Recall", "F1")),
    (metrics.PathAccuracy, of_paths),
    (partial(metrics.TreeDistance, TREE), of_paths),
    (partial(metrics.InconsistencyRate, TREE), of_paths),
    (partial(metrics.PathAURC, TREE), predictions),
    (partial(metrics.NestedMetrics, TREE), predictions),
]
every_metric = pytest.mark.parametrize(("make", "batch"), METRICS)


COLLECTIONS = {
    "levels": (of_level, [
        *(getattr(metrics, f"Level{name}") for name in ("Accuracy", "Confidence", "ECE", "AURC")),
        partial(metrics.LevelECE, n_bins=1),
        partial(metrics.LevelECE, n_bins=14),
    ]),
    "paths": (of_paths, [
        *(partial(getattr(metrics, f"Hierarchical{name}"), TREE) for name in ("Precision", "Recall", "F1")),
        partial(metrics.HierarchicalRecall, TREE, average="macro"),
        partial(metrics.HierarchicalPrecision, TREE, zero_division=1),
        metrics.PathAccuracy,
        partial(metrics.InconsistencyRate, TREE),
        partial(metrics.InconsistencyRate, OTHER_TREE),
        partial(metrics.TreeDistance, TREE),
        partial(metrics.TreeDistance, OTHER_TREE),
    ]),
    "log-probabilities": (predictions, [
        partial(metrics.PathAURC, TREE),
        partial(metrics.NestedMetrics, TREE),
        partial(metrics.NestedMetrics, TREE, threshold=0.9),
        partial(metrics.NestedMetrics, TREE, threshold=0.999),
    ]),
}  # fmt: skip
every_collection = pytest.mark.parametrize(("batch", "makes"), COLLECTIONS.values(), ids=COLLECTIONS)


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


@every_collection
@pytest.mark.parametrize("keywords", [False, True])
@pytest.mark.parametrize("correct", [False, True])
def test_in_a_collection_every_metric_has_the_value_it_has_alone(batch, makes, keywords, correct):
    first = confident(batch, correct)
    collection = MetricCollection({str(i): make() for i, make in enumerate(makes)})
    for part in (first, batch(1)):
        if keywords:
            collection.update(preds=part[0], target=part[1])
        else:
            collection.update(*part)
    alone = [fed(make(), first, batch(1)) for make in makes]
    clones = [collection, collection.clone(), pickle.loads(pickle.dumps(collection))]
    for clone in clones:
        clone.update(*batch(2))
        for i, metric in enumerate(alone):
            assert_same(clone[str(i)], fed(copy.deepcopy(metric), batch(2)))


def confident(batch, correct):
    """Return a batch in the form of ``batch``, all correct or all incorrect: the states of many metrics are equal."""
    path = TREE.lift(torch.arange(TREE.sizes[-1]), 2)
    target = path if correct else path.flip(0)
    probabilities = [one_hot(labels, size).float() for labels, size in zip(path.unbind(1), TREE.sizes, strict=True)]
    if batch is of_level:
        return probabilities[1], target[:, 1]
    return (path, target) if batch is of_paths else ([p.log() for p in probabilities], target)


def test_groups_of_a_collection_that_are_asked_for():
    names = ["HierarchicalPrecision", "HierarchicalRecall", "HierarchicalF1"]
    collection = MetricCollection([getattr(metrics, name)(TREE) for name in names], compute_groups=[names])
    for part in (confident(of_paths, True), of_paths(1)):
        collection.update(*part)
    for name in names:
        alone = fed(getattr(metrics, name)(TREE), confident(of_paths, True), of_paths(1))
        torch.testing.assert_close(collection.compute()[name], alone.compute())


@every_metric
def test_bootstrapped(make, batch):
    if make is METRICS[-1][0]:
        pytest.skip("several values; torchmetrics bootstraps metrics of one")
    inputs, target = batch(0, 2000)
    inputs = torch.cat(inputs, dim=1) if isinstance(inputs, list) else inputs
    torch.manual_seed(0)
    bootstrapped = fed(BootStrapper(make(), num_bootstraps=20), (inputs, target)).compute()
    expected = fed(make(), (inputs, target)).compute()
    assert abs(bootstrapped["mean"] - expected) < 4 * bootstrapped["std"] / math.sqrt(20) + 1e-6


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
