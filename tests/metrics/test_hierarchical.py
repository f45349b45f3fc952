"""Hierarchical precision, recall and F1, against hiclass and scikit-learn."""

import math

import pytest
import torch
from helpers.trees import LEAVES, TREE
from hiclass.metrics import f1, precision, recall
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.metrics import HierarchicalF1, HierarchicalPrecision, HierarchicalRecall, NestedMetrics
from nested_lightning.taxonomy import Taxonomy

METRICS = [HierarchicalPrecision, HierarchicalRecall, HierarchicalF1]
REAL = {tuple(leaf.split("/")[:depth]) for leaf in LEAVES for depth in (1, 2, 3)}
samples = given(seed=st.integers(0, 10**6), n=st.integers(1, 30), levels=st.integers(2, 3))
averages = pytest.mark.parametrize("average", ["micro", "macro"])


def cut_paths(seed, n, levels=3):
    """Return cut paths near the truth, and the truth; the first node of each is correct."""
    generator = torch.Generator().manual_seed(seed)
    target = TREE.lift(torch.randint(TREE.sizes[-1], (n,), generator=generator), 2)[:, :levels]
    other = TREE.lift(torch.randint(TREE.sizes[-1], (n,), generator=generator), 2)[:, :levels]
    path = torch.where(torch.rand(n, levels, generator=generator) < 0.6, target, other)
    path = path.masked_fill(torch.arange(levels) >= torch.randint(levels + 1, (n, 1), generator=generator), -1)
    path[:, 0] = target[:, 0]  # hiclass divides by zero where no node is predicted
    return path, target


def names(paths):
    """Return the names of the nodes of each path, "" for none; a leaf has the same name at all levels."""

    def real(level, k):
        node = TREE.nodes(level)[k]
        while node not in REAL:
            node = node[:-1]
        return "/".join(node)

    return [[real(level, k) if k >= 0 else "" for level, k in enumerate(row)] for row in paths.tolist()]


def value(metric, *tensors):
    for parts in zip(*(tensor.split(7) for tensor in tensors), strict=True):
        metric.update(*parts)
    return metric.compute().item()


def values(average, zero_division, *tensors):
    return [value(metric(TREE, average, zero_division), *tensors) for metric in METRICS]


@averages
@settings(deadline=None, max_examples=30)
@samples
def test_equal_to_hiclass_where_unknown_levels_are_left_out(average, seed, n, levels):
    path, target = cut_paths(seed, n, levels)
    unknown = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    unknown[:, 0] = False
    for hidden in (torch.zeros_like(unknown), unknown):
        truth, seen = target.masked_fill(hidden, -1), path.masked_fill(hidden, -1)
        expected = [reference(names(truth), names(seen), average=average) for reference in (precision, recall, f1)]
        assert values(average, math.nan, path, truth) == pytest.approx(expected)


@averages
@pytest.mark.parametrize("zero_division", [0, 1, math.nan])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@settings(deadline=None, max_examples=15)
@samples
def test_equal_to_scikit_learn_where_nothing_is_predicted(average, zero_division, seed, n, levels):
    path, target = cut_paths(seed, n, levels)
    path[::2] = -1
    truth, seen = ([set(row) - {""} for row in names(paths)] for paths in (target, path))
    nodes = MultiLabelBinarizer().fit([["/".join(node) for node in REAL]])
    *expected, _ = precision_recall_fscore_support(
        nodes.transform(truth),
        nodes.transform(seen),
        average={"macro": "samples"}.get(average, average),
        zero_division=zero_division,
    )
    assert values(average, zero_division, path, target) == pytest.approx(expected, nan_ok=True)


def test_a_short_leaf_is_one_node():
    tree = Taxonomy(["l1", "l2", "l3"], [("a",), ("b", "c", "d")])
    path, target = torch.tensor([[0, 0, 0], [1, 0, 0]]), torch.tensor([[1, 1, 1], [1, 1, 1]])
    path[1, 1:] = -1
    assert [value(metric(tree), path, target) for metric in METRICS] == pytest.approx([1 / 2, 1 / 6, 1 / 4])
    sure = [torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()] * 3
    assert [float(x) for x in fed(NestedMetrics(tree), sure, torch.zeros(2, 3).long())] == pytest.approx(
        [0.25, 0.5, 1 / 3]
    )


def fed(metric, *batch):
    metric.update(*batch)
    return [metric.compute()[f"path/{name}"] for name in ("precision", "recall", "f1")]


@averages
def test_nothing_predicted_and_nothing_known(average):
    nothing, target = torch.full((2, 3), -1), torch.zeros(2, 3, dtype=torch.long)
    assert values(average, math.nan, nothing, target) == pytest.approx([math.nan, 0, 0], nan_ok=True)
    assert values(average, 1, nothing, target) == [1, 0, 0]
    assert all(map(math.isnan, values(average, math.nan, target, nothing)))
    assert values(average, 0, target, nothing) == [0, 0, 0]


def test_refusals():
    with pytest.raises(ConfigurationError, match=r"unknown average 'weighted'\. Choose from micro, macro"):
        HierarchicalF1(TREE, average="weighted")
    with pytest.raises(ConfigurationError, match=r"must be 0, 1 or nan; got 0\.5"):
        HierarchicalF1(TREE, zero_division=0.5)
    with pytest.raises(DataError, match=r"same shape \[B, levels\]; got \(2, 3\) and \(2, 2\)"):
        HierarchicalF1(TREE).update(torch.zeros(2, 3).long(), torch.zeros(2, 2).long())
    with pytest.raises(DataError, match=r"1 to 3 levels; got \(2, 4\)"):
        HierarchicalF1(TREE).update(torch.zeros(2, 4).long(), torch.zeros(2, 4).long())
