"""The figures of the evaluation: they show the values that they were given."""

import io
import itertools
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toy import TAXONOMY
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.paper.tables.budgets import draw_budgets
from benchmarks.paper.tables.curves import COLOURS, draw_curves
from benchmarks.paper.tables.distortions import draw_distortions
from benchmarks.paper.tables.embeddings import draw_embeddings
from benchmarks.paper.tables.rejection import SAMPLES, draw_rejection, fit_confidences
from benchmarks.paper.tables.reliability import draw_reliability
from benchmarks.paper.tables.samples import CORRECT, INCORRECT, WITHHELD, draw_samples
from nested_lightning import Prediction, Taxonomy
from nested_lightning.errors import DataError
from nested_lightning.functional.path import consistent_path
from nested_lightning.functional.reliability import ece_of

TREE = Taxonomy(["kind", "species"], [("bird", "bird, of prey, eagle"), ("bird", "owl"), ("fish", "cod")])


def saved(figure: Figure) -> Figure:
    """Return the figure after it could be saved."""
    figure.savefig(io.BytesIO(), dpi=30)
    return figure


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def write_run(folder: Path, coarse: list[float], fine: list[float | str], stages: list[int]) -> Path:
    """Write a ``metrics.csv`` as training does: a row of validation and one of training per epoch, one at the end."""
    folder.mkdir(parents=True)
    lines = ["step,epoch,val/coarse/accuracy,val/fine/accuracy,cascade/stage,test/fine/accuracy"]
    for epoch, (c, f, stage) in enumerate(zip(coarse, fine, stages, strict=True)):
        lines += [f"{10 * epoch + 9},{epoch},{c},{f},,", f"{10 * epoch + 9},{epoch},,,{stage},"]
    (folder / "metrics.csv").write_text("\n".join([*lines, f"{10 * len(coarse)},,,,,0.5"]))
    return folder


def test_curves_are_the_mean_of_the_runs(tmp_path: Path) -> None:
    nested = [
        write_run(tmp_path / "a", [0.5, 0.8, 0.9], ["", 0.6, 0.7], [1, 2, 2]),
        write_run(tmp_path / "b", [0.7, 0.9, 0.8, 0.9], ["", 0.8, 0.9, 0.9], [1, 2, 2, 2]),
    ]
    flat = [write_run(tmp_path / "c", [0.9, 0.95], [0.85, 1.0], [1, 1])]
    figure = saved(draw_curves({"nested": nested, "end_to_end": flat}, ["coarse", "fine"]))
    assert [panel.get_title() for panel in figure.axes] == ["coarse", "fine"]
    assert legend_of(figure) == ["nested", "end to end"]
    for panel, expected in zip(figure.axes, ([60, 85, 85], [None, 70, 80]), strict=True):
        mean = next(line for line in panel.lines if line.get_label() == "nested")
        values = dict(zip(mean.get_xdata(), mean.get_ydata(), strict=True))
        drawn = {x: y for x, y in values.items() if y == y}
        assert drawn == pytest.approx({x: y for x, y in zip((1, 2, 3), expected, strict=True) if y is not None})
        blue = [line for line in panel.lines if line.get_color() == COLOURS[0]]
        assert len(blue) == 2 + 1 + 1  # runs, mean, start of stage 2, which both runs share
        assert [list(line.get_xdata()) for line in panel.lines if list(line.get_xdata()) == [1, 1]] == [[1, 1]]
        assert [text.get_text().strip() for text in panel.texts] == ["stage 2"]
        low, high = panel.get_ylim()
        assert low < 50 and high == 100
    with pytest.raises(DataError, match=r"c/metrics\.csv has no column val/middle/accuracy"):
        draw_curves({"nested": flat}, ["coarse", "middle"])


def made_up(method: int, budget: int, seed: int) -> dict[str, dict[str, float]]:
    """Return values that differ in every argument."""
    fine = 0.5 + budget / 10000 + method / 20 + seed**2 / 100
    clean = {"accuracy": fine, "confidence": fine + 0.05 + seed / 100, "path/accuracy": fine - 0.1}
    return {"clean": clean, "distortion_4": {name: value / 2 for name, value in clean.items()}}


def test_budgets_are_means_with_their_spread() -> None:
    methods, counts = ["nested", "end_to_end"], [1000, 100]
    results = {m: {n: [made_up(i, n, s) for s in range(3)] for n in counts} for i, m in enumerate(methods)}
    figure = saved(draw_budgets(results))
    assert len(figure.axes) == 6 and legend_of(figure) == ["nested", "end to end"]
    measures = [{"accuracy": 1}, {"path/accuracy": 1}, {"confidence": 1, "accuracy": -1}]
    for panel, (part, measure) in zip(figure.axes, itertools.product(["clean", "distortion_4"], measures), strict=True):
        for i, method in enumerate(methods):
            seeds = {
                n: [100 * sum(sign * made_up(i, n, s)[part][key] for key, sign in measure.items()) for s in range(3)]
                for n in sorted(counts)
            }
            means = [statistics.mean(values) for values in seeds.values()]
            line = next(line for line in panel.lines if line.get_label() == method.replace("_", " "))
            assert list(line.get_xdata()) == [100, 1000]
            assert list(line.get_ydata()) == pytest.approx(means)
            heights = {round(float(y), 6) for y in panel.collections[i].get_paths()[0].vertices[:, 1]}
            spreads = [sign * statistics.stdev(values) for values in seeds.values() for sign in (-1, 1)]
            assert heights == {round(means[j // 2] + spread, 6) for j, spread in enumerate(spreads)}
    grid = [figure.axes[:3], figure.axes[3:]]
    for row, label in zip(grid, ("clean, %", "distortion 4, %"), strict=True):
        assert row[0].get_ylabel() == label
        assert row[0].get_ylim() == row[1].get_ylim() != row[2].get_ylim()
    assert grid[0][0].get_ylim() != grid[1][0].get_ylim()
    assert [tick.get_text() for tick in grid[1][0].get_xticklabels()] == ["100", "1k"]
    assert grid[1][0].get_xscale() == "log"


def test_gaps_under_all_distortions_have_one_scale() -> None:
    gap = {"accuracy": 0.5, "confidence": 0.4, "path/accuracy": 0.5}
    seeds = [{**made_up(0, 100, s), "distortion_2": gap} for s in range(2)]
    figure = saved(draw_budgets({"nested": {100: seeds}}))
    clean, *distorted = (figure.axes[i].get_ylim() for i in (2, 5, 8))
    assert distorted[0] == distorted[1] != clean


def test_one_seed_has_a_line_without_a_band() -> None:
    panel = saved(draw_budgets({"nested": {n: [made_up(0, n, 0)] for n in (100, 200)}})).axes[0]
    assert list(panel.lines[0].get_ydata()) == pytest.approx([51, 52])
    assert not any(path.vertices.size for band in panel.collections for path in band.get_paths())


def test_reliability_has_a_diagram_per_row_and_level() -> None:
    def bins(correct: float) -> Tensor:
        return torch.tensor([[0.0, 0.0, 0.0], [10.0, 8.0, correct]])

    rows = {"before": {"kind": bins(5), "species": bins(4)}, "after": {"kind": bins(8), "species": bins(7)}}
    figure = saved(draw_reliability(rows))
    assert [part.get_suptitle() for part in figure.subfigs] == ["before", "after"]
    for part, levels in zip(figure.subfigs, rows.values(), strict=True):
        for panel, (level, counted) in zip(part.axes, levels.items(), strict=True):
            assert panel.get_title() == f"{level}: ECE {100 * float(ece_of(counted)):.2f} %, 10 samples"
            assert [bar.get_height() for bar in panel.patches] == pytest.approx([float(counted[1, 2]) / 10])
            assert panel.get_legend() is None
    assert set(legend_of(figure)) == {"accuracy", "at mean confidence", "perfect calibration"}


def predictions(*fine: tuple[float, float, float]) -> Prediction:
    """Return predictions with the given probabilities of eagle, owl and cod."""
    species = torch.tensor(fine)
    both = [TREE.sum_up(species, level=1, to=0), species]
    return Prediction(both, both, *consistent_path([p.log() for p in both], TREE, threshold=0.5))


def test_samples_show_correct_incorrect_and_withheld() -> None:
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, -1], [0, 1], [-1, -1]])
    sharp = predictions((0.8, 0.1, 0.1), (0.05, 0.9, 0.05), (0.8, 0.1, 0.1))
    blurred = predictions((0.8, 0.1, 0.1), (0.45, 0.4, 0.15), (0.8, 0.1, 0.1))
    incorrect = predictions((0.8, 0.1, 0.1), (0.9, 0.06, 0.04), (0.8, 0.1, 0.1))
    views = {
        "sharp": (images, {"nested": sharp, "end_to_end": sharp}),
        "blurred": (1 - images, {"nested": blurred, "end_to_end": incorrect}),
    }
    figure = saved(draw_samples(views, targets, TREE, n=1))  # only sample 1 is known at every level
    methods = ["nested", "end to end"]
    assert [panel.get_title() for panel in figure.axes] == ["sharp", *methods, "blurred", *methods]
    assert torch.equal(torch.tensor(figure.axes[0].images[0].get_array()), images[1, 0])
    assert torch.equal(torch.tensor(figure.axes[3].images[0].get_array()), 1 - images[1, 0])
    assert figure.axes[0].get_ylabel() == "bird\nowl"
    found = [[text.get_text() for text in figure.axes[i].texts] for i in (1, 4, 5)]
    assert found == [
        [f"{CORRECT} bird", "95 %", f"{CORRECT} owl", "90 %"],
        [f"{CORRECT} bird", "85 %", f"{WITHHELD} …f prey, eagle", "45 %"],
        [f"{CORRECT} bird", "96 %", f"{INCORRECT} …f prey, eagle", "90 %"],
    ]
    bars = figure.axes[5].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.96, 0.9])
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == ["#0072B2", "#D55E00"]
    assert "1 of 1 test samples, drawn with seed 0" in figure.legends[0].get_title().get_text()


def test_the_seed_decides_which_samples_are_drawn() -> None:
    n = 30
    images = torch.arange(n).reshape(n, 1, 1, 1) / n
    targets = torch.tensor([[1, 2]]).repeat(n, 1)
    views = {"sharp": (images, {"nested": predictions(*[(0.1, 0.1, 0.8)] * n)})}

    def drawn(seed: int) -> list[int]:
        panels = draw_samples(views, targets, TREE, n=3, seed=seed).axes
        return [round(n * float(panel.images[0].get_array()[0, 0])) for panel in panels if panel.images]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(set(drawn(0))) == 3
    with pytest.raises(DataError, match="cannot draw 31 samples, only 30 are known"):
        draw_samples(views, targets, TREE, n=31)


def test_distortions_stand_below_their_class() -> None:
    original = torch.tensor([0.2, 0.4, 0.6]).reshape(3, 1, 1, 1).expand(3, 1, 8, 6)
    figure = saved(draw_distortions({"original": original, "T = 1": original / 2}, ["a", "b", "c"]))
    (ax,) = figure.axes
    sheet = ax.images[0].get_array()
    shades = [[float(sheet[int(y), int(x), 0]) for x in ax.get_xticks()] for y in ax.get_yticks()]
    assert shades == [pytest.approx([0.2, 0.4, 0.6]), pytest.approx([0.1, 0.2, 0.3])]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["original", "T = 1"]
    with pytest.raises(DataError, match="expected 4 images"):
        draw_distortions({"original": original}, ["a", "b", "c", "d"])
    with pytest.raises(DataError, match="alike in all rows"):
        draw_distortions({"original": original, "T = 1": original[..., :3]}, ["a", "b", "c"])


def test_embeddings_have_a_panel_per_level_and_column() -> None:
    generator = torch.Generator().manual_seed(0)
    leaf = torch.arange(60) % 5
    target = TAXONOMY.lift(leaf, 2)
    target[:10, -1] = -1  # not drawn
    apart = [10 * torch.nn.functional.one_hot(leaf, 8) + torch.randn(60, 8, generator=generator) for _ in range(3)]
    figure = draw_embeddings({"stage 1": apart[:1], "nested": apart}, target, TAXONOMY, samples=40)
    panels = np.array(figure.axes).reshape(3, 2)
    assert [panel.get_title() for panel in panels[0]] == ["stage 1", "nested"]
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["kind embedding", "group embedding", "leaf embedding"]
    assert [[len(panel.collections) for panel in row] for row in panels] == [[5, 5], [0, 5], [0, 5]]
    assert [text.get_text() for text in panels[0, 0].texts] == list("12345")
    assert legend_of(figure) == ["a", "b"]
    points = [dots.get_offsets().data for dots in panels[2, 1].collections]
    assert sum(map(len, points)) == 40
    # Classes that are far apart stay so: every point is nearest to the mean of its own class.
    means = np.array([own.mean(axis=0) for own in points])
    for i, own in enumerate(points):
        assert (np.linalg.norm(own[:, None] - means, axis=2).argmin(axis=1) == i).all()
    assert len({tuple(dots.get_facecolor()[0]) for dots in panels[2, 1].collections}) == 5


def test_many_classes_have_no_names_and_every_class_its_own_look() -> None:
    tree = Taxonomy.from_paths([f"{a}/{a}{b}/{a}{b}{c}" for a, b, c in itertools.product("pq", "rstu", "vw")])
    target = tree.lift(torch.arange(64) % 16, 2)
    panel = draw_embeddings({"nested": [torch.rand(64, 4)]}, target, tree).axes[0]
    assert not panel.texts
    looks = {(tuple(d.get_facecolor()[0]), d.get_paths()[0].vertices.tobytes()) for d in panel.collections}
    assert len(looks) == len(panel.collections) == 16


def test_only_with_rejection_the_network_is_not_confident_far_from_the_training_inputs() -> None:
    state = torch.get_rng_state()
    figure = draw_rejection(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    inputs, plain, rejecting = figure.axes
    assert len(plain.lines) == 2 and len(rejecting.lines) == 3
    bars = [bar.get_height() for bar in inputs.patches]
    assert len(bars) == 3 * 48 and sum(bars) <= 3 * SAMPLES
    for far in (0, -1):
        assert max(line.get_ydata()[far] for line in plain.lines) > 0.99
        assert max(line.get_ydata()[far] for line in rejecting.lines[:2]) < 0.05
    for curve, middle in zip(rejecting.lines, (-1.2, 1.2), strict=False):
        assert np.interp(middle, curve.get_xdata(), curve.get_ydata()) > 0.7
    assert legend_of(figure) == ["class 0", "class 1", "rejection"]


def test_confidences_follow_the_share_of_samples() -> None:
    # Both classes have the same inputs: half and half everywhere near them.
    same = torch.randn(1, 400, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    found = fit_confidences(same, torch.tensor([-1.0, 0.0, 1.0]), seed=0)
    torch.testing.assert_close(found, torch.full((3, 2), 0.5), atol=0.02, rtol=0)
