"""Hierarchical precision, recall and F1, against hiclass."""

import math

import pytest
import torch
from hiclass.metrics import f1, precision, recall
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import DataError
from nested_lightning.metrics import HierarchicalF1, HierarchicalPrecision, HierarchicalRecall

REFERENCES = [(HierarchicalPrecision, precision), (HierarchicalRecall, recall), (HierarchicalF1, f1)]


def batch(seed, rows, levels=3):
    """Return cut paths near the truth, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(4, (rows, levels), generator=generator)
    path = torch.where(torch.rand(rows, levels, generator=generator) < 0.7, target, 0)
    depth = torch.randint(levels + 1, (rows, 1), generator=generator)
    return path.masked_fill(torch.arange(levels) >= depth, -1), target


def cells(paths):
    return [[f"{level}:{node}" if node >= 0 else "" for level, node in enumerate(row)] for row in paths.tolist()]


def updated(metric, path, target):
    for part, labels in zip(path.split(7), target.split(7), strict=True):
        metric.update(part, labels)
    return metric


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30), levels=st.integers(2, 4))
def test_equal_hiclass(seed, rows, levels):
    path, target = batch(seed, rows, levels)
    path[0, 0] = target[0, 0]  # hiclass divides by zero where no node is answered
    for metric_class, reference in REFERENCES:
        assert updated(metric_class(), path, target).compute().item() == pytest.approx(
            reference(cells(target), cells(path))
        )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30))
def test_unknown_levels_are_left_out(seed, rows):
    path, target = batch(seed, rows)
    path[0, 0] = target[0, 0]
    unknown = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    unknown[0, 0] = False
    hidden = target.masked_fill(unknown, -1)
    for metric_class, reference in REFERENCES:
        expected = reference(cells(hidden), cells(path.masked_fill(unknown, -1)))
        assert updated(metric_class(), path, hidden).compute().item() == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30))
def test_uncut_paths_of_one_level_give_the_accuracy(seed, rows):
    path, target = batch(seed, rows, levels=1)
    path = path.clamp(min=0)
    for metric_class, _ in REFERENCES:
        accuracy = (path == target).double().mean().item()
        assert updated(metric_class(), path, target).compute().item() == pytest.approx(accuracy)


def test_nothing_answered_and_nothing_known():
    nothing, target = torch.full((2, 3), -1), torch.zeros(2, 3, dtype=torch.long)
    values = [updated(metric_class(), nothing, target).compute().item() for metric_class, _ in REFERENCES]
    assert math.isnan(values[0]) and values[1:] == [0, 0]
    for metric_class, _ in REFERENCES:
        assert math.isnan(updated(metric_class(), target, nothing).compute())


def test_refuses_other_shapes():
    with pytest.raises(DataError, match=r"same shape \[B, levels\]; got \(2, 3\) and \(2, 2\)"):
        HierarchicalF1().update(torch.zeros(2, 3), torch.zeros(2, 2))
