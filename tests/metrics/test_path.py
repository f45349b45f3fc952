"""Metrics of paths, against loops over the samples and shortest paths in a graph."""

import math
from itertools import pairwise

import networkx
import pytest
import torch
from helpers.trees import LEAVES, TREE
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import DataError
from nested_lightning.metrics import InconsistencyRate, PathAccuracy, TreeDistance
from nested_lightning.taxonomy import Taxonomy

samples = given(seed=st.integers(0, 10**6), n=st.integers(1, 30), levels=st.integers(1, 3))


def classes(seed, n, levels=3, lowest=0):
    """Return a random class at each level, or -1 where ``lowest`` is -1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(lowest, k, (n,), generator=generator) for k in TREE.sizes[:levels]], dim=1)


def value(metric, *tensors):
    for parts in zip(*(tensor.split(7) for tensor in tensors), strict=True):
        metric.update(*parts)
    return metric.compute().item()


@settings(deadline=None, max_examples=40)
@samples
def test_path_accuracy_equals_the_loop(seed, n, levels):
    target = classes(seed, n, levels, lowest=-1)
    # Near the target, so that whole paths are correct now and then.
    predictions = torch.where(torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.7, target, 0)
    known = [i for i in range(n) if -1 not in target[i].tolist()]
    correct = [i for i in known if predictions[i].tolist() == target[i].tolist()]
    expected = len(correct) / len(known) if known else math.nan
    assert value(PathAccuracy(), predictions, target) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None, max_examples=40)
@samples
def test_inconsistency_equals_the_loop(seed, n, levels):
    predictions = classes(seed, n, levels)
    nodes = [[TREE.nodes(level)[k] for level, k in enumerate(sample)] for sample in predictions.tolist()]
    broken = sum(any(child[:-1] != above for above, child in pairwise(path)) for path in nodes)
    assert value(InconsistencyRate(TREE), predictions) == pytest.approx(broken / n)


def test_inconsistency_by_hand():
    tree = Taxonomy.from_paths(["a/a.1/v", "a/a.2/w", "a/a.2/x", "b/b.1/y", "b/b.1/z"])
    predictions = torch.tensor([[0, 1, 2], [0, 2, 2], [0, 2, 4], [1, 2, -1], [1, -1, -1], [0, -1, 3]])
    assert value(InconsistencyRate(tree), predictions) == pytest.approx(3 / 6)


def test_a_prediction_that_stops_early_is_not_correct():
    assert value(PathAccuracy(), torch.tensor([[0, -1], [0, 1]]), torch.tensor([[0, 1], [0, 1]])) == 0.5


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_seen_gives_nan():
    assert math.isnan(value(PathAccuracy(), torch.tensor([[0, 1]]), torch.tensor([[0, -1]])))
    assert math.isnan(InconsistencyRate(TREE).compute())


@settings(deadline=None, max_examples=40)
@samples
def test_tree_distance_equals_shortest_paths(seed, n, levels):
    predictions, target = classes(seed, n, levels), classes(seed + 1, n, levels, lowest=-1)
    graph = networkx.Graph()
    for leaf in LEAVES:
        names = leaf.split("/")
        networkx.add_path(graph, [tuple(names[:depth]) for depth in range(len(names) + 1)])

    def real_node(k):
        node = TREE.nodes(levels - 1)[k]
        while node not in graph:  # a carried leaf stands for the node that it is carried from
            node = node[:-1]
        return node

    pairs = zip(predictions[:, -1].tolist(), target[:, -1].tolist(), strict=True)
    ways = [networkx.shortest_path_length(graph, real_node(a), real_node(t)) for a, t in pairs if t not in (-1, a)]
    expected = sum(ways) / len(ways) if ways else math.nan
    assert value(TreeDistance(TREE), predictions, target) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("predicted", "truth", "edges"), [("x", "y", 2), ("x", "z", 4), ("x", "c", 4), ("b.2", "c", 3)]
)
def test_tree_distance_by_hand(predicted, truth, edges):
    names = [path[-1] for path in TREE.nodes(2)]
    paths = torch.tensor([[0, 0, names.index(predicted)]]), torch.tensor([[-1, -1, names.index(truth)]])
    assert value(TreeDistance(TREE), *paths) == edges


def test_refuses_other_shapes():
    for metric in (PathAccuracy(), TreeDistance(TREE)):
        with pytest.raises(DataError, match=r"same shape \[B, levels\]; got \(2, 3\) and \(2, 2\)"):
            metric.update(torch.zeros(2, 3), torch.zeros(2, 2))
    for columns in (0, 4):
        with pytest.raises(DataError, match=r"1 to 3 levels; got \(2, "):
            TreeDistance(TREE).update(torch.zeros(2, columns), torch.zeros(2, columns))
    with pytest.raises(DataError, match=r"1 to 3 levels; got \(2, 4\)"):
        InconsistencyRate(TREE).update(torch.zeros(2, 4))
