"""LevelAURC and PathAURC, against the exact curve of the same answers and against paths cut at every threshold."""

import math
import pickle

import pytest
import torch

from nested_lightning.errors import DataError
from nested_lightning.functional.combination import independent, nested
from nested_lightning.functional.path import consistent_path, node_confidences
from nested_lightning.functional.selective import area_under_risk_coverage, risk_coverage
from nested_lightning.metrics import LevelAURC, PathAURC
from nested_lightning.taxonomy import Taxonomy

LEAVES = ["a/a.1/x", "a/a.1/y", "a/a.2/z", "b/b.1/x", "b/b.1/v", "c"]
TAXONOMY = Taxonomy(["coarse", "middle", "fine"], [leaf.split("/") for leaf in LEAVES])


def batch(seed, rows=400, rule=nested, sharpness=3.0):
    """Answers that are right the more often the surer they are; some targets are not known."""
    generator = torch.Generator().manual_seed(seed)
    target = TAXONOMY.lift(torch.randint(TAXONOMY.sizes[-1], (rows,), generator=generator), 2)
    logs = []
    for level, size in enumerate(TAXONOMY.sizes):
        logits = torch.randn(rows, size + 1, generator=generator)
        logits += 1.5 * torch.nn.functional.one_hot(target[:, level], size + 1)
        logs.append((sharpness * logits).log_softmax(dim=1)[:, :-1])
    depth = torch.randint(4, (rows, 1), generator=generator)
    return rule(logs, TAXONOMY), target.masked_fill(torch.arange(3) >= depth, -1)


@pytest.mark.parametrize("sharpness", [0.5, 3, 10])
def test_level_is_close_to_the_exact_area(sharpness):
    logs, target = batch(0, 4000, sharpness=sharpness)
    for level, log_p in enumerate(logs):
        metric = LevelAURC()
        for part, labels in zip(log_p.exp().split(300), target[:, level].split(300), strict=True):
            metric.update(part, labels)
        known = target[:, level] >= 0
        confidence, answer = log_p.exp()[known].max(dim=1)
        expected = area_under_risk_coverage(confidence, answer == target[known, level])
        assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-3)


@pytest.mark.parametrize("rule", [nested, independent])
def test_nodes_are_kept_as_paths_are_cut(rule):
    logs, target = batch(1, rule=rule)
    path, log_confidence = node_confidences(logs, TAXONOMY)
    assert torch.equal(path, consistent_path(logs, TAXONOMY, 0)[0])
    known, right = target >= 0, path == target
    coverage, risk = risk_coverage(log_confidence[known], right[known])
    # exp of the same number may differ in its last bit by where it stands in a tensor: cut between the confidences.
    confidence = log_confidence.exp().unique().double()
    confidence = confidence[confidence.diff(prepend=confidence.new_zeros(1)) > 1e-6]
    for threshold in (confidence - 5e-7)[::7].tolist():
        cut = consistent_path(logs, TAXONOMY, threshold)[0]
        assert torch.equal(cut, path.masked_fill(log_confidence.exp() < threshold, -1))
        kept = (cut >= 0) & known
        n = int(kept.sum())
        if n:
            assert coverage[n - 1].item() == pytest.approx(n / int(known.sum()))
            assert risk[n - 1].item() == pytest.approx(int((kept & (cut != target)).sum()) / n)


@pytest.mark.parametrize("rule", [nested, independent])
def test_path_is_close_to_the_exact_area(rule):
    logs, target = batch(2, 4000, rule)
    metric = PathAURC(TAXONOMY)
    for *parts, labels in zip(*(log_p.split(900) for log_p in logs), target.split(900), strict=True):
        metric.update(parts, labels)
    path, log_confidence = node_confidences(logs, TAXONOMY)
    known = target >= 0
    expected = area_under_risk_coverage(log_confidence[known], (path == target)[known])
    assert 0.01 < expected < 0.5
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-3)


def test_a_path_of_the_first_levels():
    logs, target = batch(3)
    shallow, alone = PathAURC(TAXONOMY), LevelAURC()
    shallow.update(logs[:1], target)
    alone.update(logs[0].exp().double(), target[:, 0])
    assert shallow.compute().item() == pytest.approx(alone.compute().item(), abs=1e-3)


@pytest.mark.parametrize("make", [LevelAURC, lambda **kwargs: PathAURC(TAXONOMY, **kwargs)])
def test_merges_pickles_and_stays_out_of_checkpoints(make):
    def updated(metric, seed):
        logs, target = batch(seed)
        metric.update(*((logs[1].exp(), target[:, 1]) if isinstance(metric, LevelAURC) else (logs, target)))
        return metric

    both, other = updated(updated(make(), 1), 2), updated(make(), 2)
    synced = make(dist_sync_fn=lambda state, group: [state, other.sums], distributed_available_fn=lambda: True)
    assert updated(synced, 1).compute() == both.compute()
    first = pickle.loads(pickle.dumps(updated(make(), 1)))
    first.merge_state(other)
    assert first.compute() == both.compute()
    assert first.state_dict() == {}
    with torch.inference_mode():
        first.reset()
    assert updated(updated(first, 1), 2).compute() == both.compute()


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_known_gives_nan():
    metric = LevelAURC()
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([-1]))
    assert math.isnan(metric.compute())


def test_refuses_other_shapes():
    with pytest.raises(DataError, match=r"got \(2, 3\) and \(3,\)"):
        LevelAURC().update(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    metric = LevelAURC()
    metric.update(torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.3, 0.7], [0.6, 0.4]]), torch.tensor([0, 1, 1, -1]))
    figure, axes = metric.plot()
    line = axes.lines[0]
    assert line.get_xdata().tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert line.get_ydata().tolist() == pytest.approx([0, 50, 100 / 3])
    assert line.get_label() == f"predictions: AURC {100 * (1 / 2 + 1 / 3) / 3:.2f} %"
    assert metric.plot(ax=axes) == (figure, axes)
    assert metric.plot([metric.compute(), metric.compute()])[1].lines
    pyplot.close("all")
