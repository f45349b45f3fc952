"""The figures of the evaluation: what is drawn is what was put in."""

import csv
import io
import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.paper.figures.budgets import draw_budgets
from benchmarks.paper.figures.curves import COLOURS, draw_curves
from benchmarks.paper.figures.distortions import draw_distortions
from benchmarks.paper.figures.reliability import draw_reliability
from benchmarks.paper.figures.samples import RIGHT, WITHHELD, WRONG, draw_samples
from nested_lightning import Prediction, Taxonomy
from nested_lightning.errors import DataError
from nested_lightning.functional.combination import consistent_path
from nested_lightning.functional.reliability import ece_of

TREE = Taxonomy(["kind", "species"], [("bird", "eagle"), ("bird", "owl"), ("fish", "cod")])


def saved(figure: Figure) -> Figure:
    """Return the figure after it could be saved."""
    figure.savefig(io.BytesIO(), dpi=30)
    return figure


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def write_run(folder: Path, coarse: list[float], fine: list[float | None], stages: list[int]) -> Path:
    """Write a ``metrics.csv`` as training does: a row of validation and one of training per epoch, one at the end."""
    folder.mkdir(parents=True)
    names = ["step", "epoch", "val/coarse/accuracy", "val/fine/accuracy", "cascade/stage", "test/fine/accuracy"]
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for epoch, (c, f, stage) in enumerate(zip(coarse, fine, stages, strict=True)):
            writer.writerow([10 * epoch + 9, epoch, c, f, None, None])
            writer.writerow([10 * epoch + 9, epoch, None, None, stage, None])
        writer.writerow([10 * len(coarse), None, None, None, None, 0.5])
    return folder


def test_curves_are_the_mean_of_the_runs(tmp_path: Path) -> None:
    nested = [
        write_run(tmp_path / "a", [0.5, 0.8, 0.9], [None, 0.6, 0.7], [1, 2, 2]),
        write_run(tmp_path / "b", [0.7, 0.9, 0.8, 0.9], [None, 0.8, 0.9, 0.9], [1, 2, 2, 2]),
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


def test_curves_over_steps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [0.5, 0.8], [0.4, 0.6], [1, 2])
    figure = saved(draw_curves({"nested": [run]}, ["coarse"], over="step"))
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "nested")
    assert list(mean.get_xdata()) == [10, 20] and list(mean.get_ydata()) == pytest.approx([50, 80])
    assert figure.axes[0].get_xlabel() == "optimizer steps"


def test_curves_of_a_level_that_was_not_validated(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [0.5], [0.4], [1])
    with pytest.raises(DataError, match=r"a/metrics\.csv has no column val/middle/accuracy"):
        draw_curves({"nested": [run]}, ["coarse", "middle"])


def made_up(method: int, budget: int, seed: int) -> dict[str, dict[str, float]]:
    """Return figures that differ in every argument."""
    fine = 0.5 + budget / 10000 + method / 20 + seed**2 / 100
    clean = {"accuracy": fine, "confidence": fine + 0.05 + seed / 100, "path/accuracy": fine - 0.1}
    return {"clean": clean, "distortion_4": {name: value / 2 for name, value in clean.items()}}


def test_budgets_are_means_with_their_spread() -> None:
    methods, counts = ["nested", "end_to_end"], [1000, 100]
    results = {m: {n: [made_up(i, n, s) for s in range(3)] for n in counts} for i, m in enumerate(methods)}
    figure = saved(draw_budgets(results))
    assert len(figure.axes) == 6 and legend_of(figure) == ["nested", "end to end"]
    measures: list[Any] = [
        lambda f: f["accuracy"],
        lambda f: f["path/accuracy"],
        lambda f: f["confidence"] - f["accuracy"],
    ]
    for panel, (part, measure) in zip(figure.axes, itertools.product(["clean", "distortion_4"], measures), strict=True):
        for i, method in enumerate(methods):
            seeds = {n: [100 * measure(made_up(i, n, s)[part]) for s in range(3)] for n in sorted(counts)}
            means = [statistics.mean(values) for values in seeds.values()]
            line = next(line for line in panel.lines if line.get_label() == method.replace("_", " "))
            assert list(line.get_xdata()) == [100, 1000]
            assert list(line.get_ydata()) == pytest.approx(means)
            heights = {round(float(y), 6) for y in panel.collections[i].get_paths()[0].vertices[:, 1]}
            edges = [
                m + sign * statistics.stdev(seeds[n]) for n, m in zip(seeds, means, strict=True) for sign in (-1, 1)
            ]
            assert heights == {round(edge, 6) for edge in edges}
    grid = [figure.axes[:3], figure.axes[3:]]
    for row, label in zip(grid, ("clean, %", "distortion 4, %"), strict=True):
        assert row[0].get_ylabel() == label
        assert row[0].get_ylim() == row[1].get_ylim() != row[2].get_ylim()
    assert grid[0][0].get_ylim() != grid[1][0].get_ylim()
    assert [tick.get_text() for tick in grid[1][0].get_xticklabels()] == ["100", "1k"]
    assert grid[1][0].get_xscale() == "log"


def test_gaps_under_all_distortions_have_one_scale() -> None:
    unsure = {"accuracy": 0.5, "confidence": 0.4, "path/accuracy": 0.5}
    seeds = [{**made_up(0, 100, s), "distortion_2": unsure} for s in range(2)]
    figure = saved(draw_budgets({"nested": {100: seeds}}))
    clean, *distorted = (figure.axes[i].get_ylim() for i in (2, 5, 8))
    assert distorted[0] == distorted[1] != clean


def test_one_seed_has_a_line_without_a_band() -> None:
    figure = saved(draw_budgets({"nested": {n: [made_up(0, n, 0)] for n in (100, 200)}}))
    panel = figure.axes[0]
    assert list(panel.lines[0].get_ydata()) == pytest.approx([51, 52])
    assert not any(path.vertices.size for band in panel.collections for path in band.get_paths())


def test_reliability_has_a_diagram_per_row_and_level() -> None:
    def bins(right: float) -> Tensor:
        return torch.tensor([[0.0, 0.0, 0.0], [10.0, 8.0, right]])

    rows = {"before": {"kind": bins(5), "species": bins(4)}, "after": {"kind": bins(8), "species": bins(7)}}
    figure = saved(draw_reliability(rows))
    assert [part.get_suptitle() for part in figure.subfigs] == ["before", "after"]
    for part, levels in zip(figure.subfigs, rows.values(), strict=True):
        for panel, (level, counted) in zip(part.axes, levels.items(), strict=True):
            assert panel.get_title() == f"{level}: ECE {100 * float(ece_of(counted)):.2f} %, 10 rows"
            assert [bar.get_height() for bar in panel.patches] == pytest.approx([float(counted[1, 2]) / 10])
            assert panel.get_legend() is None
    assert set(legend_of(figure)) == {"accuracy", "at mean confidence", "perfect calibration"}


def answers(*fine: tuple[float, float, float]) -> Prediction:
    """Return answers of the given probabilities of eagle, owl and cod."""
    species = torch.tensor(fine)
    both = [TREE.sum_up(species, level=1, to=0), species]
    return Prediction(both, both, *consistent_path([p.log() for p in both], TREE, threshold=0.5))


def test_samples_tell_right_wrong_and_withheld() -> None:
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, -1], [0, 1], [-1, -1]])
    sharp = answers((0.8, 0.1, 0.1), (0.05, 0.9, 0.05), (0.8, 0.1, 0.1))
    blurred = answers((0.8, 0.1, 0.1), (0.45, 0.4, 0.15), (0.8, 0.1, 0.1))
    wrong = answers((0.8, 0.1, 0.1), (0.9, 0.06, 0.04), (0.8, 0.1, 0.1))
    views = {
        "sharp": (images, {"nested": sharp, "end_to_end": sharp}),
        "blurred": (1 - images, {"nested": blurred, "end_to_end": wrong}),
    }
    figure = saved(draw_samples(views, targets, TREE, n=1))  # row 1 alone is known at every level
    assert [panel.get_title() for panel in figure.axes] == [
        "sharp",
        "nested",
        "end to end",
        "blurred",
        *("nested", "end to end"),
    ]
    assert torch.equal(torch.tensor(figure.axes[0].images[0].get_array()), images[1, 0])
    assert torch.equal(torch.tensor(figure.axes[3].images[0].get_array()), 1 - images[1, 0])
    assert figure.axes[0].get_ylabel() == "bird\nowl"
    found = [[text.get_text() for text in figure.axes[i].texts] for i in (1, 4, 5)]
    assert found == [
        [f"{RIGHT} bird", "95 %", f"{RIGHT} owl", "90 %"],
        [f"{RIGHT} bird", "85 %", f"{WITHHELD} eagle", "45 %"],
        [f"{RIGHT} bird", "96 %", f"{WRONG} eagle", "90 %"],
    ]
    bars = figure.axes[5].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.96, 0.9])
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == ["#0072B2", "#D55E00"]
    assert "1 of 1 test rows, drawn with seed 0" in figure.legends[0].get_title().get_text()


def test_samples_are_drawn_by_the_seed_alone() -> None:
    n = 30
    images = torch.arange(n).reshape(n, 1, 1, 1) / n
    targets = torch.tensor([[1, 2]]).repeat(n, 1)
    views = {"sharp": (images, {"nested": answers(*[(0.1, 0.1, 0.8)] * n)})}

    def rows(seed: int) -> list[int]:
        panels = draw_samples(views, targets, TREE, n=3, seed=seed).axes
        return [round(n * float(panel.images[0].get_array()[0, 0])) for panel in panels if panel.images]

    assert rows(0) == rows(0) != rows(1)
    assert len(set(rows(0))) == 3
    with pytest.raises(DataError, match="31 rows are to be drawn, but 30 are known"):
        draw_samples(views, targets, TREE, n=31)


def test_a_long_name_keeps_its_end() -> None:
    tree = Taxonomy(["kind", "species"], [("bird", "bird, of prey, eagle"), ("bird", "bird, owl")])
    species = torch.tensor([[0.9, 0.1]])
    both = [torch.ones(1, 1), species]
    prediction = Prediction(both, both, torch.tensor([[0, 0]]), torch.tensor([2]), torch.tensor([0.9]))
    views = {"sharp": (torch.zeros(1, 3, 2, 2), {"nested": prediction})}
    figure = draw_samples(views, torch.tensor([[0, 0]]), tree, n=1)
    assert [text.get_text() for text in figure.axes[1].texts][2] == f"{RIGHT} …f prey, eagle"


def test_distortions_stand_below_their_class() -> None:
    original = torch.tensor([0.2, 0.4, 0.6]).reshape(3, 1, 1, 1).expand(3, 1, 8, 6)
    figure = saved(draw_distortions({"original": original, "T = 1": original / 2}, ["a", "b", "c"]))
    (ax,) = figure.axes
    sheet = ax.images[0].get_array()
    shades = [[float(sheet[int(y), int(x), 0]) for x in ax.get_xticks()] for y in ax.get_yticks()]
    assert shades == [pytest.approx([0.2, 0.4, 0.6]), pytest.approx([0.1, 0.2, 0.3])]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["original", "T = 1"]


def test_distortions_of_other_images_are_refused() -> None:
    images = torch.zeros(2, 1, 4, 4)
    with pytest.raises(DataError, match="expected 3 images"):
        draw_distortions({"original": images}, ["a", "b", "c"])
    with pytest.raises(DataError, match="alike in all rows"):
        draw_distortions({"original": images, "T = 1": images[..., :3]}, ["a", "b"])
