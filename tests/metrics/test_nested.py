"""NestedMetrics gives what the metrics of levels and paths give one by one."""

import math

import pytest
import torch
from helpers.trees import TREE, predictions
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.path import consistent_path
from nested_lightning.functional.reliability import level_accuracy, level_confidence, level_ece
from nested_lightning.metrics import (
    HierarchicalF1,
    HierarchicalPrecision,
    HierarchicalRecall,
    InconsistencyRate,
    LevelAURC,
    NestedMetrics,
    PathAccuracy,
    PathAURC,
    TreeDistance,
)


def one_by_one(logs, target, threshold=0.5):
    expected = {}
    for i, log_p in enumerate(logs):
        name, p, labels = TREE.levels[i], log_p.exp(), target[:, i]
        expected[f"{name}/accuracy"] = level_accuracy(p, labels)
        expected[f"{name}/confidence"] = level_confidence(p, labels)
        expected[f"{name}/ece"] = level_ece(p, labels)
        # Of float64, as a bin may end between the float32 logarithm of a confidence and its float32 exponential.
        expected[f"{name}/aurc"] = fed(LevelAURC(), log_p.double().exp(), labels)
    best = torch.stack([log_p.argmax(dim=1) for log_p in logs], dim=1)
    path = consistent_path(logs, TREE, threshold)[0][:, : len(logs)]
    known = target[:, : len(logs)]
    return expected | {
        "path/accuracy": fed(PathAccuracy(), best, known),
        "path/inconsistency": fed(InconsistencyRate(TREE), best),
        "path/precision": fed(HierarchicalPrecision(TREE), path, known),
        "path/recall": fed(HierarchicalRecall(TREE), path, known),
        "path/f1": fed(HierarchicalF1(TREE), path, known),
        "path/tree_distance": fed(TreeDistance(TREE), best, known),
        "path/aurc": fed(PathAURC(TREE), logs, target),
    }


def fed(metric, *batch):
    metric.update(*batch)
    return metric.compute()


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], equal_nan=True, msg=name)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), size=st.integers(1, 40), levels=st.integers(1, 3))
def test_any_batching_gives_the_metrics_one_by_one(seed, n, size, levels):
    logs, target = predictions(seed, n, sharpness=1.0)
    metrics = NestedMetrics(TREE)
    for *parts, labels in zip(*(log_p.split(size) for log_p in logs[:levels]), target.split(size), strict=True):
        metrics.update(parts, labels)
    assert_same(metrics.compute(), one_by_one(logs[:levels], target))


def test_levels_not_seen_are_left_out_until_they_come():
    logs, target = predictions(0)
    metrics = NestedMetrics(TREE)
    metrics.update(logs[:1], target)
    levels = [name for name in metrics.compute() if "path" not in name]
    assert levels == ["coarse/accuracy", "coarse/confidence", "coarse/ece", "coarse/aurc"]
    metrics.reset()
    assert_same(fed(metrics, logs, target), one_by_one(logs, target))


def test_a_level_seen_without_labels_gives_nan():
    logs, target = predictions(0)
    target[:, 1:] = -1
    values = fed(NestedMetrics(TREE), logs, target)
    assert math.isnan(values["fine/ece"]) and math.isnan(values["path/accuracy"])
    assert values["coarse/accuracy"] >= 0 and values["path/inconsistency"] >= 0


def test_levels_side_by_side_in_one_tensor():
    logs, target = predictions(0)
    for n in (1, 2, 3):
        assert_same(fed(NestedMetrics(TREE), torch.cat(logs[:n], dim=1), target), one_by_one(logs[:n], target))
    with pytest.raises(ConfigurationError, match=r"need 3 or 9 or 17 columns.*coarse, middle, fine.*got \(50, 14\)"):
        NestedMetrics(TREE).update(torch.cat(logs[1:], dim=1), target)


def test_number_of_bins():
    logs, target = predictions(4)
    values = fed(NestedMetrics(TREE, n_bins=3), logs, target)
    torch.testing.assert_close(values["fine/ece"], level_ece(logs[2].exp(), target[:, 2], 3))


@pytest.mark.parametrize("threshold", [0, 0.3, 0.9, 1])
def test_threshold_of_the_consistent_path(threshold):
    logs, target = predictions(5)
    assert_same(fed(NestedMetrics(TREE, threshold=threshold), logs, target), one_by_one(logs, target, threshold))


def test_plot_is_the_diagram_of_the_finest_level_seen():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    logs, target = predictions(0)
    metrics = NestedMetrics(TREE)
    metrics.update(logs[:2], target)
    assert metrics.plot()[1].get_title().startswith("middle: ECE ")
    assert metrics.plot(0)[1].get_title().startswith("coarse: ECE ")
    pyplot.close("all")


def test_refusals():
    logs, target = predictions(0)
    metrics = NestedMetrics(TREE)
    for wrong in ([], [*logs, logs[2]]):
        with pytest.raises(DataError, match=f"1 to 3 levels.*got {len(wrong)} levels"):
            metrics.update(wrong, target)
    with pytest.raises(DataError, match=r"a target \[B, 3\]; got 3 levels and \(50, 2\)"):
        metrics.update(logs, target[:, :2])
    with pytest.raises(ConfigurationError, match="at least 1 bin"):
        NestedMetrics(TREE, n_bins=0)
    with pytest.raises(ConfigurationError, match=r"between 0 and 1; got 1\.5"):
        NestedMetrics(TREE, threshold=1.5)
