"""Figure 4, Figure G.1 and Figure C.4: what is measured, and that the figures show what they were given."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from helpers.toy import TAXONOMY, toy_module
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks.paper import information
from benchmarks.paper.figures.embeddings import draw_embeddings
from benchmarks.paper.figures.information import draw_information
from benchmarks.paper.figures.rejection import ROWS, confidences, draw_rejection
from benchmarks.paper.information import evaluate_information
from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.errors import ConfigurationError
from nested_lightning.models import ConvBottleneck, UNetEncoder

# ------------------------------------------------------------------------------------------------------------- Figure 4


@pytest.fixture
def module() -> NestedLightningModule:
    torch.manual_seed(0)
    unet = UNetEncoder(1, (2, 3))
    return toy_module(
        backbone=unet, bottleneck=ConvBottleneck, feature_channels=None, bottleneck_channels=[4, 5, 6]
    ).eval()


def test_the_three_maps(module: NestedLightningModule, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: list[tuple[Tensor, Tensor]] = []
    real = information.mutual_information

    def spy(x: Tensor, z: Tensor, *args: Any, **options: Any) -> Any:
        pairs.append((x, z))
        return real(x, z, *args, **options)

    monkeypatch.setattr(information, "mutual_information", spy)
    images = torch.rand(600, 1, 16, 16)
    evaluate_information(module, images, steps=2)
    network = module.network
    with torch.no_grad():
        _, skip, f = network.backbone(images)
        h = network.bottlenecks[0](None, f)
        g = network.bottlenecks[1](h, skip)
    assert f.shape[2:] == h.shape[2:] == (4, 4) and g.shape[2:] == (8, 8)
    (f1, g1), (f2, h2) = pairs
    for found, whole in ((f1, f), (f2, f), (h2, h), (g1, g)):
        expected = avg_pool2d(whole, whole.shape[-1] // 2).flatten(1)  # windows that do not overlap at these sizes
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_plain_figures_and_no_hooks_left(module: NestedLightningModule) -> None:
    images = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = evaluate_information(module, images, seed=3, steps=150)
    assert json.loads(json.dumps(found)) == found
    assert found["delta"] == found["FG"]["nats"] - found["FH"]["nats"]
    assert found["FG"]["steps"] == [100, 150] and found["rows"] == 100
    assert found == evaluate_information(module, images, seed=3, steps=150)
    assert not any(part._forward_hooks for part in module.network.modules())


def test_a_model_without_maps() -> None:
    flat = toy_module().eval()
    with pytest.raises(ConfigurationError, match=r"Sequential gave \[5, 8\].*UNetEncoder"):
        evaluate_information(flat, torch.rand(5, 6))
    assert not any(part._forward_hooks for part in flat.modules())


def test_curves_are_the_means_and_bands_hold_all_seeds() -> None:
    def seed(fg: list[float], fh: list[float]) -> dict[str, Any]:
        pairs = {"FG": fg, "FH": fh}
        kept = {pair: {"nats": h[-1], "steps": [10, 20], "history": h} for pair, h in pairs.items()}
        return {**kept, "delta": fg[-1] - fh[-1]}

    figure = draw_information({"with": [seed([1, 2], [0, 1]), seed([2, 4], [0, 2])], "without": [seed([1, 1], [1, 2])]})
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[1.5, 3], [0, 1.5], [1, 1], [1, 2]]
    assert axes.lines[0].get_xdata().tolist() == [10, 20]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1 and band[:, 1].max() == 4
    assert "+1.50 with,  -1.00 without" in axes.get_title()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["I(F, G) with", "I(F, H) with", "I(F, G) without", "I(F, H) without"]


# ----------------------------------------------------------------------------------------------------------- Figure G.1


def test_a_panel_per_level_and_column() -> None:
    generator = torch.Generator().manual_seed(0)
    leaf = torch.arange(60) % 5
    target = TAXONOMY.lift(leaf, 2)
    target[:10, -1] = -1  # not drawn
    apart = [10 * torch.nn.functional.one_hot(leaf, 8) + torch.randn(60, 8, generator=generator) for _ in range(3)]
    figure = draw_embeddings({"stage 1": apart[:1], "nested": apart}, target, TAXONOMY, rows=40)
    panels = np.array(figure.axes).reshape(3, 2)
    assert [panel.get_title() for panel in panels[0]] == ["stage 1", "nested"]
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["kind embedding", "group embedding", "leaf embedding"]
    assert [[len(panel.collections) for panel in row] for row in panels] == [[5, 5], [0, 5], [0, 5]]
    assert [text.get_text() for text in panels[0, 0].texts] == list("12345")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    points = [dots.get_offsets().data for dots in panels[2, 1].collections]
    assert sum(map(len, points)) == 40
    # Classes that are far apart stay so: every point is nearest to the middle of its own class.
    middles = np.array([own.mean(axis=0) for own in points])
    for i, own in enumerate(points):
        assert (np.linalg.norm(own[:, None] - middles, axis=2).argmin(axis=1) == i).all()
    colours = [tuple(dots.get_facecolor()[0]) for dots in panels[2, 1].collections]
    assert len(set(colours)) == 5


def test_many_classes_have_no_names_and_every_class_its_own_look() -> None:
    tree = Taxonomy.from_paths([f"{a}/{a}{b}/{a}{b}{c}" for a, b, c in itertools.product("pq", "rstu", "vw")])
    target = tree.lift(torch.arange(64) % 16, 2)
    figure = draw_embeddings({"nested": [torch.rand(64, 4)]}, target, tree)
    panel = figure.axes[0]
    assert not panel.texts
    looks = {(tuple(d.get_facecolor()[0]), d.get_paths()[0].vertices.tobytes()) for d in panel.collections}
    assert len(looks) == len(panel.collections) == 16


# ----------------------------------------------------------------------------------------------------------- Figure C.4


def test_without_rejection_sure_of_what_was_never_seen_and_with_it_not() -> None:
    state = torch.get_rng_state()
    figure = draw_rejection(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    inputs, plain, rejecting = figure.axes
    assert len(plain.lines) == 2 and len(rejecting.lines) == 3
    bars = [bar.get_height() for bar in inputs.patches]
    assert len(bars) == 3 * 48 and sum(bars) <= 3 * ROWS
    for far in (0, -1):
        assert max(line.get_ydata()[far] for line in plain.lines) > 0.99
        assert max(line.get_ydata()[far] for line in rejecting.lines[:2]) < 0.05
    for curve, middle in zip(rejecting.lines, (-1.2, 1.2), strict=False):
        assert np.interp(middle, curve.get_xdata(), curve.get_ydata()) > 0.7
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["class 0", "class 1", "rejection"]


def test_confidences_follow_the_share_of_rows() -> None:
    # Both classes are alike: half and half everywhere near them.
    same = torch.randn(1, 400, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    found = confidences(same, torch.tensor([-1.0, 0.0, 1.0]), seed=0)
    torch.testing.assert_close(found, torch.full((3, 2), 0.5), atol=0.02, rtol=0)
