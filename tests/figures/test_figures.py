"""The figures show the numbers that were put in."""

import math

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from nested_lightning.callbacks.run_figures import compared_distortions, level_name
from nested_lightning.figures import (
    Sample,
    accuracy_timeline,
    confidence_histogram,
    depth_chart,
    distortion_curves,
    loss_timeline,
    plot_confusion,
    reliability_diagram,
    risk_coverage_diagram,
    samples_sheet,
)
from nested_lightning.figures.style import look, panels, plain, rendered
from nested_lightning.functional.selective import risk_histogram


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def labels(ax) -> list[str]:
    return [line.get_label() for line in ax.lines]


@pytest.mark.parametrize("draw", [
    lambda ax: reliability_diagram(torch.zeros(15, 3), ax),
    lambda ax: confidence_histogram(torch.zeros(10_000, 2, dtype=torch.long), ax),
    lambda ax: risk_coverage_diagram({"a": torch.zeros(10_000, 2, dtype=torch.long)}, ax),
    lambda ax: depth_chart(torch.zeros(3, 3, dtype=torch.long), ["a", "b"], ax),
    lambda ax: loss_timeline([], ax),
    lambda ax: distortion_curves([], [], [], ax=ax),
    lambda ax: samples_sheet([], ["a"], ax),
])  # fmt: skip
def test_given_axes_and_nothing_seen(draw):
    figure, (first, second) = panels(2)
    assert draw(second) == (figure, second)
    assert not first.has_data()
    rendered(figure)


def test_reliability_is_drawn_where_there_are_samples():
    bins = torch.tensor([[0, 0, 0], [8, 3.2, 2], [0, 0, 0], [2, 1.8, 2]], dtype=torch.float64)
    figure, ax = reliability_diagram(bins)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    assert bars == [pytest.approx((0.375, 0.25)), pytest.approx((0.875, 1.0))]
    assert texts(ax) == ["8", "2"]
    points = ax.collections[0].get_offsets().tolist()
    assert points == [pytest.approx([0.4, 0.25]), pytest.approx([0.9, 1.0])]
    # |2 - 3.2| / 10 + |2 - 1.8| / 10
    assert ax.get_title() == "ECE 14.00 %, 10 samples"
    assert ax.figure is figure
    _, ax = reliability_diagram(torch.zeros(15, 3))
    assert not ax.patches and not ax.texts


def test_every_prediction_is_in_a_bar_of_its_kind():
    confidence = torch.tensor([0.3, 0.5, 0.9, 0.99, 0.9999, 1.0, 1.0])
    correct = torch.tensor([False, True, False, True, True, True, False])
    counts = risk_histogram(confidence.log(), correct, torch.ones(7, dtype=torch.bool))
    _, ax = confidence_histogram(counts)
    for bars, n in zip(ax.containers, (4, 3), strict=True):
        assert sum(bar.get_height() for bar in bars) == n
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["correct: 4", "incorrect: 3"]
    # 0.3 alone is in the lowest bar, and both predictions of confidence 1 in the highest.
    assert [bars[0].get_height() for bars in ax.containers] == [0, 1]
    assert [bars[-1].get_height() for bars in ax.containers] == [1, 1]


def test_risk_is_that_of_the_most_confident_predictions():
    counts = risk_histogram(torch.tensor([0.9, 0.8, 0.7]).log(), torch.tensor([True, False, True]), torch.ones(3) > 0)
    _, ax = risk_coverage_diagram({"kind": counts, "cut paths": counts.flip(1)})
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0, 50, 100 / 3])
    assert ax.lines[1].get_ydata().tolist() == pytest.approx([100, 50, 200 / 3])
    assert labels(ax)[0] == f"kind: AURC {100 * (1 / 2 + 1 / 3) / 3:.2f} %"


def test_lines_of_eight_levels_and_paths_differ():
    assert len({tuple(look(i).values()) for i in range(32)}) == 32


def test_depths_are_shares_of_all_samples():
    _, ax = depth_chart(torch.tensor([[0, 0, 2], [3, 1, 0], [8, 2, 4]]), ["kind", "species"])
    assert texts(ax) == ["10.0 %", "20.0 %, 75.0 % correct", "70.0 %, 80.0 % correct"]
    assert [bar.get_width() for bars in ax.containers for bar in bars] == pytest.approx(
        [0, 15, 40, 0, 5, 10, 10, 0, 20]
    )
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["no prediction", "kind", "species"]


def test_distortions_stand_at_their_strength():
    tests = [
        {"name": name, "strength": strength, "metrics": {"kind/accuracy": accuracy, "kind/confidence": confidence}}
        for name, strength, accuracy, confidence in (("none", 0.0, 0.9, 0.95), ("blur", 1.5, 0.5, 0.8))
    ]
    figure = compared_distortions({"a": tests, "b": tests[:1]}, ["kind"])
    (ax,) = figure.axes
    assert labels(ax) == ["a: accuracy", "a: confidence", "b: accuracy", "b: confidence"]
    assert ax.lines[0].get_xdata().tolist() == [0, 1.5]
    assert ax.lines[1].get_ydata().tolist() == [95, 80]
    figure = compared_distortions({"": [tests[0], {**tests[1], "strength": None}]}, ["kind"])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["none", "blur"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["accuracy", "confidence"]


def test_timeline_names_stages_where_they_begin():
    epochs = [
        {"stage": "kind", "train/loss": 2.0, "val/loss": 3.0, "val/kind/accuracy": 0.5},
        {"stage": "kind", "train/loss": 1.0, "val/loss": None, "val/kind/accuracy": 0.75},
        {"stage": "species", "train/loss": 4.0, "val/loss": 5.0, "val/kind/accuracy": 1.0, "val/species/accuracy": 0.5},
    ]
    _, ax = loss_timeline(epochs)
    assert [text.get_position()[0] for text in ax.texts] == [0.5, 2.5]
    assert texts(ax) == ["1 kind", "2 species"]
    assert ax.lines[0].get_ydata().tolist() == [2, 1, 4]
    assert math.isnan(ax.lines[1].get_ydata()[1])
    assert ax.lines[2].get_xdata() == [2.5, 2.5]
    _, ax = accuracy_timeline(epochs, ["kind", "species", "of a later stage"])
    assert ax.lines[0].get_ydata().tolist() == [50, 75, 100]
    assert [line.get_label() for line in ax.lines if not line.get_label().startswith("_")] == ["kind", "species"]


SHEET = [
    Sample(7, np.zeros((9, 5), dtype=np.uint8), ["bird", "owl"], ["bird", "jay"], [True, False], [0.9, 0.75], 2),
    Sample(8, "a small $x_{$ bird " * 40, ["bird", None], ["fish", "cod"], [False, None], [0.8, 0.4], 1),
    Sample(9, None, [None, None], ["fish", "cod"], [None, None], [0.8, 0.6], 2),
]


def test_samples_show_labels_predictions_and_confidence():
    figure, ax = samples_sheet(SHEET, ["kind", "species"])
    shown = texts(ax)
    for text in ("kind: bird", "species: owl", "✓ bird", "✗ jay", "✗ fish", "? cod", "· cod", "species: not known"):
        assert text in shown
    assert {"90.0 %", "75.0 %", "40.0 %"} <= set(shown) and "row 9" in shown
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    box = ax.get_window_extent()
    across = (right - left) / np.ptp(ax.get_xlim()) * box.width
    down = (bottom - top) / np.ptp(ax.get_ylim()) * box.height
    assert down / across == pytest.approx(9 / 5)
    rendered(figure)


@pytest.mark.parametrize("n", [1, 8])
def test_panels_of_levels(n):
    figure, axes = panels(n)
    assert len(axes) == len(figure.axes) == n
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.get_figwidth() <= 4 * 3.6


def test_no_name_is_a_formula():
    figure = Figure()
    figure.text(0, 0, plain("$x_{$ costs $5 \n and  more"))
    assert rendered(figure).size == (640, 480)
    assert plain("a\n b", 3) == "a b" and plain("abcdef", 4) == "abc…"


def test_drawing_leaves_pyplot_and_its_settings_alone():
    from matplotlib import pyplot

    before, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    samples_sheet(SHEET, ["kind", "species"])
    plot_confusion(np.eye(2), ["a", "b"])
    assert pyplot.get_fignums() == before and dict(matplotlib.rcParams) == settings


def test_a_level_s_name_is_a_file_s():
    assert level_name(0, "../a b") == "1-.._a_b"
