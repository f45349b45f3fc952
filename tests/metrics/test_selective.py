"""LevelAURC and PathAURC, against the exact curve of the same predictions."""

import math

import pytest
import torch
from helpers.trees import TREE, predictions

from nested_lightning.errors import DataError
from nested_lightning.functional.path import node_confidences
from nested_lightning.functional.selective import area_under_risk_coverage
from nested_lightning.metrics import LevelAURC, PathAURC


@pytest.mark.parametrize("sharpness", [0.5, 3, 10])
def test_level_is_close_to_the_exact_area(sharpness):
    logs, target = predictions(0, 4000, "nested", sharpness)
    for level, log_p in enumerate(logs):
        metric = LevelAURC()
        for part, labels in zip(log_p.exp().split(300), target[:, level].split(300), strict=True):
            metric.update(part, labels)
        known = target[:, level] >= 0
        confidence, predicted = log_p.exp()[known].max(dim=1)
        expected = area_under_risk_coverage(confidence, predicted == target[known, level])
        assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-3)


@pytest.mark.parametrize("rule", ["nested", "independent"])
def test_path_is_close_to_the_exact_area(rule):
    logs, target = predictions(2, 4000, rule)
    metric = PathAURC(TREE)
    for *parts, labels in zip(*(log_p.split(900) for log_p in logs), target.split(900), strict=True):
        metric.update(parts, labels)
    path, log_confidence = node_confidences(logs, TREE)
    known = target >= 0
    expected = area_under_risk_coverage(log_confidence[known], (path == target)[known])
    assert 0.01 < expected < 0.5
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-3)


def test_a_path_of_the_first_levels():
    logs, target = predictions(3, 400, "nested")
    shallow, alone = PathAURC(TREE), LevelAURC()
    shallow.update(logs[:1], target)
    alone.update(logs[0].exp().double(), target[:, 0])
    assert shallow.compute().item() == pytest.approx(alone.compute().item(), abs=1e-3)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_known_gives_nan():
    metric = LevelAURC()
    assert math.isnan(metric.compute())
    metric.update(torch.tensor([[0.5, 0.5]]), torch.tensor([-1]))
    assert math.isnan(metric.compute())


def test_refuses_other_shapes():
    with pytest.raises(DataError, match=r"got \(2, 3\) and \(3,\)"):
        LevelAURC().update(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))


def test_plot_is_the_curve():
    metric = LevelAURC()
    metric.update(torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.3, 0.7], [0.6, 0.4]]), torch.tensor([0, 1, 1, -1]))
    line = metric.plot()[1].lines[0]
    assert line.get_xdata().tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert line.get_ydata().tolist() == pytest.approx([0, 50, 100 / 3])
    assert line.get_label() == f"predictions: AURC {100 * (1 / 2 + 1 / 3) / 3:.2f} %"
