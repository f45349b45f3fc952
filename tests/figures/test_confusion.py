"""Confusion matrices, with their groups and in the order of a tree."""

import io

import matplotlib
import numpy as np
import pytest
import torch

from nested_lightning.errors import DataError
from nested_lightning.figures import confusion_by_taxonomy, plot_confusion
from nested_lightning.taxonomy import Taxonomy

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


def test_numbers_in_the_cells_are_shares_of_the_row() -> None:
    _, ax = plot_confusion(np.array([[3, 1], [0, 5]]), ["a", "b"])
    assert [text.get_text() for text in ax.texts] == ["75.0", "25.0", "0", "100"]


def test_given_axes() -> None:
    fig, axes = plt.subplots(1, 2)
    assert plot_confusion(np.eye(3), list("abc"), ax=axes[1]) == (fig, axes[1])


def test_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="2 labels"):
        plot_confusion(np.eye(2), ["a"])
    with pytest.raises(DataError):
        plot_confusion(np.eye(2), ["a", "b"], [[1]])


def test_confusions_in_the_order_of_the_tree():
    # Children of x and y alternate in the order of their indices; a name stands under both.
    tree = Taxonomy(["kind", "species"], [("x", "a"), ("y", "a"), ("x", "b"), ("y", "c")])
    counts = torch.tensor([[5, 0, 3, 0], [0, 8, 0, 0], [0, 1, 7, 0], [0, 0, 2, 6]])
    _, ax = confusion_by_taxonomy(counts, tree, 1)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["x/a", "b", "y/a", "c"]
    shares = np.array([[62.5, 37.5, 0, 0], [0, 87.5, 12.5, 0], [0, 0, 100, 0], [0, 25, 0, 75]])
    assert [float(text) for text in [text.get_text() for text in ax.texts]] == pytest.approx(shares.ravel())
    assert [patch.get_width() for patch in ax.patches] == [2, 2]
    assert ax.get_title() == "species: 32 samples"


def test_names_are_the_shortest_that_tell_classes_apart():
    leaves = [("vine", "grape", "healthy"), ("vine", "grape", "rot", "black"), ("rose", "apple", "healthy"), ("moss",)]
    tree = Taxonomy(["family", "species", "health", "kind"], leaves)
    _, ax = confusion_by_taxonomy(torch.eye(4, dtype=torch.long), tree, 3)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["grape/healthy", "black", "apple/healthy", "moss"]


def test_of_many_classes_the_groups_are_named():
    leaves = [(f"g{i // 73}", f"h{i // 4}", f"class {i}") for i in range(219)]
    _, ax = confusion_by_taxonomy(torch.eye(219, dtype=torch.long), Taxonomy(["a", "b", "c"], leaves), 2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["g0", "g1", "g2"]
    assert ax.get_yticks().tolist() == [36, 109, 182]
    assert not ax.texts
