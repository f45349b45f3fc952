"""The figure of a confusion matrix."""

import io

import matplotlib
import numpy as np
import pytest

from nested_lightning.errors import DataError
from nested_lightning.figures import plot_confusion

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle


@pytest.fixture(autouse=True)
def _close_figures() -> None:
    plt.close("all")


@pytest.mark.parametrize("n", [2, 5, 40, 219])
def test_names_are_readable_and_do_not_touch(n: int) -> None:
    fig, ax = plot_confusion(np.eye(n) + 0.01, [f"SomeClass{i}" for i in range(n)], [[1, n - 1]])
    fig.savefig(io.BytesIO(), dpi=fig.dpi)
    boxes = [tick.label1.get_window_extent() for tick in ax.get_yaxis().get_major_ticks()]
    assert all(box.x0 >= 0 for box in boxes)
    middles = sorted((box.y0 + box.y1) / 2 for box in boxes)
    size = ax.get_yticklabels()[0].get_fontsize()
    assert size >= 4.5
    assert np.diff(middles).min() / fig.dpi * 72 >= size
    assert ax.get_xlabel() == "prediction" and ax.get_ylabel() == "label"
    assert fig.get_facecolor() == (1, 1, 1, 1)


def test_every_group_has_its_frame() -> None:
    _, ax = plot_confusion(np.eye(5), list("abcde"), [[3, 2], [1, 2, 2]])
    frames = [(p.get_x() + 0.5, p.get_width(), p.get_linewidth()) for p in ax.patches if isinstance(p, Rectangle)]
    assert [frame[:2] for frame in frames] == [(0, 3), (3, 2), (0, 1), (1, 2), (3, 2)]
    assert frames[0][2] > frames[2][2]


def test_figures_in_the_cells_are_shares_of_the_row() -> None:
    _, ax = plot_confusion(np.array([[3, 1], [0, 5]]), ["a", "b"])
    assert [text.get_text() for text in ax.texts] == ["75.0", "25.0", "0", "100"]


def test_axes_of_ones_own() -> None:
    fig, axes = plt.subplots(1, 2)
    assert plot_confusion(np.eye(3), list("abc"), ax=axes[1]) == (fig, axes[1])


def test_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="2 labels"):
        plot_confusion(np.eye(2), ["a"])
    with pytest.raises(DataError):
        plot_confusion(np.eye(2), ["a", "b"], [[1]])
