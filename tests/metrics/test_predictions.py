"""Predictions for many samples, checked by slow loops."""

import pytest
import torch
from helpers.toy import TAXONOMY, rows

from nested_lightning.functional.combination import nested
from nested_lightning.functional.path import consistent_path
from nested_lightning.metrics.predictions import EvaluatedPredictions

THRESHOLD = 0.6


@pytest.fixture(scope="module")
def log_probabilities():
    generator = torch.Generator().manual_seed(3)
    own = [torch.randn(200, k, generator=generator).mul(2).log_softmax(1) for k in TAXONOMY.sizes]
    return nested(own, TAXONOMY)


@pytest.fixture(scope="module")
def target():
    _, target = rows(200, seed=4)
    target[::5, 2] = -1
    target[::10, 1] = -1
    return target


@pytest.fixture(scope="module")
def predictions(log_probabilities, target):
    return EvaluatedPredictions.from_log_probabilities(log_probabilities, target, TAXONOMY)


def test_paths_and_depths_are_those_of_predictions(predictions, log_probabilities):
    path, depth, confidence = consistent_path(log_probabilities, TAXONOMY, THRESHOLD)
    assert torch.equal(predictions.depth(THRESHOLD), depth)
    cut = torch.arange(3) >= depth[:, None]
    assert torch.equal(predictions.path.masked_fill(cut, -1), path)
    deepest = predictions.confidence.gather(1, (depth - 1).clamp(min=0)[:, None])[:, 0]
    assert deepest[depth > 0].tolist() == pytest.approx(confidence[depth > 0].tolist(), abs=1e-6)


def test_confusion_counts_every_known_sample(predictions, log_probabilities, target):
    expected = torch.zeros(5, 5, dtype=torch.long)
    for row, label in zip(log_probabilities[2], target[:, 2].tolist(), strict=True):
        if label >= 0:
            expected[label, row.argmax()] += 1
    assert torch.equal(predictions.confusion(2, 5), expected)


def test_counts_of_depths(predictions, target):
    expected = torch.zeros(4, 3, dtype=torch.long)
    for path, confidence, truth in zip(predictions.path, predictions.confidence, target, strict=True):
        depth = int((confidence >= THRESHOLD).sum())
        pairs = list(zip(path[:depth].tolist(), truth[:depth].tolist(), strict=True))
        if any(label not in (-1, predicted) for predicted, label in pairs):
            kind = 1
        else:
            kind = 2 if not pairs or pairs[-1][1] < 0 else 0
        expected[depth, kind] += 1
    assert torch.equal(predictions.count_depths(THRESHOLD), expected)
    assert (expected.sum(dim=0) > 0).all()


def test_the_worst_come_first(predictions, target):
    order = predictions.worst_first()
    assert sorted(order.tolist()) == list(range(200))
    incorrect = (target >= 0) & (predictions.path != target)
    mistakes = int(incorrect.any(dim=1).sum())
    assert 0 < mistakes < 200
    confidences = [float(predictions.confidence[i][incorrect[i]].max()) for i in order[:mistakes]]
    assert confidences == sorted(confidences, reverse=True)
    rest = predictions.confidence[order[mistakes:], -1].tolist()
    assert rest == sorted(rest)


def test_the_first_levels_alone(log_probabilities, target):
    predictions = EvaluatedPredictions.from_log_probabilities(log_probabilities[:2], target, TAXONOMY)
    assert predictions.path.shape == predictions.target.shape == (200, 2)
    assert predictions.count_depths(THRESHOLD).shape == (3, 3)
