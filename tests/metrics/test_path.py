"""Metrics of paths, against loops over the rows."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import DataError
from nested_lightning.metrics import (
    HierarchicalF1,
    HierarchicalPrecision,
    HierarchicalRecall,
    InconsistencyRate,
    PathAccuracy,
    TreeDistance,
)
from nested_lightning.taxonomy import Taxonomy

PARENTS = [torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1, 2, 2])]
TAXONOMY = Taxonomy(
    ["1", "2", "3"], [("a", "a.1", "v"), ("a", "a.2", "w"), ("a", "a.2", "x"), ("b", "b.1", "y"), ("b", "b.1", "z")]
)
EDGES = [dict(enumerate(level.tolist())) for level in PARENTS]


def batch(seed, rows, levels=3, lowest=0):
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(lowest, k, (rows, 1), generator=generator) for k in (2, 3, 5)[:levels]]
    return torch.cat(columns, dim=1)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30))
def test_path_accuracy_equals_the_loop(seed, rows):
    target = batch(seed, rows, lowest=-1)
    # Near the target, so that whole paths are right now and then.
    predictions = torch.where(torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.7, target, 0)
    known = [i for i in range(rows) if -1 not in target[i].tolist()]
    right = [i for i in known if predictions[i].tolist() == target[i].tolist()]
    metric = PathAccuracy()
    for part, labels in zip(predictions.split(7), target.split(7), strict=True):
        metric.update(part, labels)
    assert metric.compute().item() == pytest.approx(len(right) / len(known) if known else math.nan, nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30), levels=st.integers(1, 3))
def test_inconsistency_equals_the_loop(seed, rows, levels):
    predictions = batch(seed, rows, levels)
    broken = sum(any(EDGES[i][row[i + 1]] != row[i] for i in range(levels - 1)) for row in predictions.tolist())
    metric = InconsistencyRate(TAXONOMY)
    for part in predictions.split(7):
        metric.update(part)
    assert metric.compute().item() == pytest.approx(broken / rows)


def test_inconsistency_by_hand():
    metric = InconsistencyRate(TAXONOMY)
    metric.update(torch.tensor([[0, 1, 2], [0, 2, 2], [0, 2, 4], [1, 2, -1], [1, -1, -1], [0, -1, 3]]))
    assert metric.compute().item() == pytest.approx(3 / 6)


def test_an_answer_that_stops_early_is_not_right():
    metric = PathAccuracy()
    metric.update(torch.tensor([[0, -1], [0, 1]]), torch.tensor([[0, 1], [0, 1]]))
    assert metric.compute().item() == 0.5


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_seen_gives_nan():
    accuracy = PathAccuracy()
    accuracy.update(torch.tensor([[0, 1]]), torch.tensor([[0, -1]]))
    assert math.isnan(accuracy.compute())
    assert math.isnan(InconsistencyRate(TAXONOMY).compute())


@pytest.mark.parametrize(
    "make",
    [
        PathAccuracy,
        HierarchicalPrecision,
        HierarchicalRecall,
        HierarchicalF1,
        lambda **kwargs: TreeDistance(TAXONOMY, **kwargs),
        lambda **kwargs: InconsistencyRate(TAXONOMY, **kwargs),
    ],
)
def test_merges_pickles_and_stays_out_of_checkpoints(make):
    predictions, target = batch(1, 40), batch(2, 40)

    def update(metric, rows):
        metric.update(
            *((predictions[rows],) if isinstance(metric, InconsistencyRate) else (predictions[rows], target[rows]))
        )
        return metric

    whole, first, second = update(make(), slice(40)), update(make(), slice(13)), update(make(), slice(13, 40))
    synced = make(dist_sync_fn=lambda state, group: [state, second.sums], distributed_available_fn=lambda: True)
    torch.testing.assert_close(update(synced, slice(13)).compute(), whole.compute())
    first = pickle.loads(pickle.dumps(first))
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute())
    assert first.state_dict() == {}


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    metric = PathAccuracy()
    metric.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]))
    figure, axes = metric.plot()
    assert axes.figure is figure
    pyplot.close("all")


def test_refuses_other_shapes():
    with pytest.raises(DataError, match=r"same shape \[B, levels\]; got \(2, 3\) and \(2, 2\)"):
        PathAccuracy().update(batch(0, 2), batch(0, 2, levels=2))
    with pytest.raises(DataError, match=r"at most 2 levels; got \(2, 3\)"):
        InconsistencyRate(Taxonomy(["1", "2"], [("a", "b"), ("c", "d")])).update(batch(0, 2))
