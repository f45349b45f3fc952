"""The reliability diagram shows the bins: bars, counts, and nothing where there are no rows."""

import pytest
import torch
from matplotlib.figure import Figure

from nested_lightning.figures import reliability_diagram
from nested_lightning.metrics import LevelECE

BINS = torch.tensor([[0, 0, 0], [8, 3.2, 2], [0, 0, 0], [2, 1.8, 2]], dtype=torch.float64)


def test_bars_counts_and_blanks():
    figure, axes = reliability_diagram(BINS)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches]
    assert bars == [pytest.approx((0.375, 0.25)), pytest.approx((0.875, 1.0))]
    assert [text.get_text() for text in axes.texts] == ["8", "2"]
    points = axes.collections[0].get_offsets().tolist()
    assert points == [pytest.approx([0.4, 0.25]), pytest.approx([0.9, 1.0])]
    # |2 - 3.2| / 10 + |2 - 1.8| / 10
    assert axes.get_title() == "ECE 14.00 %, 10 samples"
    assert axes.figure is figure


def test_draws_on_given_axes_and_saves(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    metric = LevelECE()
    metric.update(torch.tensor([[0.9, 0.1], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert metric.plot(ax=axes) == (figure, axes)
    figure.savefig(tmp_path / "diagram.png")
    assert (tmp_path / "diagram.png").stat().st_size > 0


def test_nothing_seen_gives_an_empty_diagram():
    _, axes = reliability_diagram(torch.zeros(15, 3))
    assert not axes.patches and not axes.texts
