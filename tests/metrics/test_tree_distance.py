"""The distance of wrong answers, against shortest paths in a graph."""

import math

import networkx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import DataError
from nested_lightning.metrics import TreeDistance
from nested_lightning.taxonomy import Taxonomy

LEAVES = ["a/a.1/x", "a/a.1/y", "a/a.2/z", "b/b.1/x", "b/b.2", "c", "a/x/x", "a/x/w"]
TAXONOMY = Taxonomy(["coarse", "middle", "fine"], [leaf.split("/") for leaf in LEAVES])


def graph():
    edges = networkx.Graph()
    for leaf in LEAVES:
        names = leaf.split("/")
        nodes = [tuple(names[:depth]) for depth in range(len(names) + 1)]
        networkx.add_path(edges, nodes)
    return edges


def real_node(edges, level, of_class):
    """Return the node that a class stands for: a carried leaf is no node of the graph, what it is carried from is."""
    node = TAXONOMY.nodes(level)[of_class]
    while node not in edges:
        node = node[:-1]
    return node


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), levels=st.integers(1, 3))
def test_equals_shortest_paths(seed, rows, levels):
    generator = torch.Generator().manual_seed(seed)
    sizes = TAXONOMY.sizes[:levels]
    predictions = torch.stack([torch.randint(k, (rows,), generator=generator) for k in sizes], dim=1)
    target = torch.stack([torch.randint(-1, k, (rows,), generator=generator) for k in sizes], dim=1)
    edges = graph()
    ways = [
        networkx.shortest_path_length(edges, real_node(edges, levels - 1, a), real_node(edges, levels - 1, t))
        for a, t in zip(predictions[:, -1].tolist(), target[:, -1].tolist(), strict=True)
        if t != -1 and a != t
    ]
    metric = TreeDistance(TAXONOMY)
    for part, labels in zip(predictions.split(7), target.split(7), strict=True):
        metric.update(part, labels)
    expected = sum(ways) / len(ways) if ways else math.nan
    assert metric.compute().item() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("answer", "truth", "edges"), [("x", "y", 2), ("x", "z", 4), ("x", "c", 4), ("b.2", "c", 3)])
def test_by_hand(answer, truth, edges):
    names = [path[-1] for path in TAXONOMY.nodes(2)]
    metric = TreeDistance(TAXONOMY)
    metric.update(torch.tensor([[0, 0, names.index(answer)]]), torch.tensor([[-1, -1, names.index(truth)]]))
    assert metric.compute().item() == edges


def test_refuses_other_shapes():
    with pytest.raises(DataError, match=r"same shape \[B, levels\]; got \(2, 3\) and \(2, 2\)"):
        TreeDistance(TAXONOMY).update(torch.zeros(2, 3), torch.zeros(2, 2))
    for columns in (0, 4):
        with pytest.raises(DataError, match=r"1 to 3 levels; got \(2, "):
            TreeDistance(TAXONOMY).update(torch.zeros(2, columns), torch.zeros(2, columns))
