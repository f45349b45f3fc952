"""NestedMetrics gives what the metrics of levels and paths give one by one."""

import copy
import math
import pickle

import pytest
import torch
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
from nested_lightning.taxonomy import Taxonomy

LEAVES = ["a/a.1/x", "a/a.1/y", "a/a.2/z", "b/b.1/x", "c"]
TAXONOMY = Taxonomy(["coarse", "middle", "fine"], [leaf.split("/") for leaf in LEAVES])


def batch(seed, rows=50, levels=3):
    generator = torch.Generator().manual_seed(seed)
    logs = [torch.log_softmax(2 * torch.randn(rows, k + 1, generator=generator), dim=1)[:, :-1] for k in TAXONOMY.sizes]
    target = TAXONOMY.lift(torch.randint(TAXONOMY.sizes[-1], (rows,), generator=generator), 2)
    depth = torch.randint(4, (rows, 1), generator=generator)
    return logs[:levels], target.masked_fill(torch.arange(3) >= depth, -1)


def one_by_one(logs, target, threshold=0.5):
    expected = {}
    for level, log_p in zip(range(len(logs)), logs, strict=True):
        for name, function in {
            "accuracy": level_accuracy,
            "confidence": level_confidence,
            "ece": level_ece,
        }.items():
            expected[f"{TAXONOMY.levels[level]}/{name}"] = function(log_p.exp(), target[:, level])
        # Of float64, as a bin may end between the float32 logarithm of a confidence and its float32 exponential.
        expected[f"{TAXONOMY.levels[level]}/aurc"] = fed(LevelAURC(), log_p.double().exp(), target[:, level])
    answers = torch.stack([log_p.argmax(dim=1) for log_p in logs], dim=1)
    path = consistent_path(logs, TAXONOMY, threshold)[0][:, : len(logs)]
    known = target[:, : len(logs)]
    return expected | {
        "path/accuracy": fed(PathAccuracy(), answers, known),
        "path/inconsistency": fed(InconsistencyRate(TAXONOMY), answers),
        "path/precision": fed(HierarchicalPrecision(), path, known),
        "path/recall": fed(HierarchicalRecall(), path, known),
        "path/f1": fed(HierarchicalF1(), path, known),
        "path/tree_distance": fed(TreeDistance(TAXONOMY), answers, known),
        "path/aurc": fed(PathAURC(TAXONOMY), logs, target),
    }


def fed(metric, *batch):
    metric.update(*batch)
    return metric.compute()


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], equal_nan=True, msg=name)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), size=st.integers(1, 40), levels=st.integers(1, 3))
def test_any_batching_gives_the_metrics_one_by_one(seed, rows, size, levels):
    logs, target = batch(seed, rows, levels)
    metrics = NestedMetrics(TAXONOMY)
    for *parts, labels in zip(*(log_p.split(size) for log_p in logs), target.split(size), strict=True):
        metrics.update(parts, labels)
    assert_same(metrics.compute(), one_by_one(logs, target))


def test_levels_not_seen_are_left_out_until_they_come():
    metrics = NestedMetrics(TAXONOMY)
    metrics.update(*batch(0, levels=1))
    assert [name for name in metrics.compute() if "path" not in name] == [
        "coarse/accuracy",
        "coarse/confidence",
        "coarse/ece",
        "coarse/aurc",
    ]
    metrics.reset()
    metrics.update(*batch(0))
    assert_same(metrics.compute(), one_by_one(*batch(0)))


def test_a_level_seen_without_labels_gives_nan():
    logs, target = batch(0)
    metrics = NestedMetrics(TAXONOMY)
    target[:, 1:] = -1
    metrics.update(logs, target)
    values = metrics.compute()
    assert math.isnan(values["fine/ece"]) and math.isnan(values["path/accuracy"])
    assert values["coarse/accuracy"] >= 0 and values["path/inconsistency"] >= 0


def test_merges_processes_pickles_copies_and_stays_out_of_checkpoints():
    metrics, other, both = NestedMetrics(TAXONOMY), NestedMetrics(TAXONOMY), NestedMetrics(TAXONOMY)
    for metric, seed in ((metrics, 1), (other, 2), (both, 1), (both, 2)):
        metric.update(*batch(seed))
    states = iter(other.metric_state.values())
    synced = NestedMetrics(
        TAXONOMY,
        dist_sync_fn=lambda state, group: [state, next(states)],
        distributed_available_fn=lambda: True,
    )
    synced.update(*batch(1))
    assert_same(synced.compute(), both.compute())
    metrics = copy.deepcopy(pickle.loads(pickle.dumps(metrics)))
    metrics.merge_state(other)
    assert_same(metrics.compute(), both.compute())
    assert metrics.state_dict() == {}


def test_reset_under_inference_mode_leaves_usable_metrics():
    metrics = NestedMetrics(TAXONOMY)
    with torch.inference_mode():
        metrics.update(*batch(0))
        metrics.reset()
    metrics.update(*batch(1))
    assert_same(metrics.compute(), one_by_one(*batch(1)))


def test_number_of_bins():
    metrics = NestedMetrics(TAXONOMY, bins=3)
    logs, target = batch(4)
    metrics.update(logs, target)
    torch.testing.assert_close(metrics.compute()["fine/ece"], level_ece(logs[2].exp(), target[:, 2], 3))


@pytest.mark.parametrize("threshold", [0, 0.3, 0.9, 1])
def test_threshold_of_the_consistent_answer(threshold):
    metrics = NestedMetrics(TAXONOMY, threshold=threshold)
    metrics.update(*batch(5))
    assert_same(metrics.compute(), one_by_one(*batch(5), threshold))


def test_the_state_does_not_grow():
    metrics = NestedMetrics(TAXONOMY)
    sizes = []
    for rows in (3, 3000):
        metrics.update(*batch(0, rows))
        sizes.append(sum(state.numel() for state in metrics.metric_state.values()))
    assert sizes[0] == sizes[1] < 100_000


def test_plot_is_the_diagram_of_the_finest_level_seen():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    metrics = NestedMetrics(TAXONOMY)
    metrics.update(*batch(0, levels=2))
    assert metrics.plot()[1].get_title().startswith("middle: ECE ")
    assert metrics.plot(0)[1].get_title().startswith("coarse: ECE ")
    pyplot.close("all")


def test_refusals():
    logs, target = batch(0)
    metrics = NestedMetrics(TAXONOMY)
    for wrong in ([], [*logs, logs[2]]):
        with pytest.raises(DataError, match=f"1 to 3 levels.*got {len(wrong)} levels"):
            metrics.update(wrong, target)
    with pytest.raises(DataError, match=r"a target \[B, 3\]; got 3 levels and \(50, 2\)"):
        metrics.update(logs, target[:, :2])
    with pytest.raises(ConfigurationError, match="at least 1 bin"):
        NestedMetrics(TAXONOMY, bins=0)
    with pytest.raises(ConfigurationError, match=r"between 0 and 1; got 1\.5"):
        NestedMetrics(TAXONOMY, threshold=1.5)
