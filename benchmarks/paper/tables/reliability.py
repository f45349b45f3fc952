"""Reliability diagrams of the nested model, before and after calibration, clean and distorted. Not in the paper."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.evaluation import open_uncalibrated
from benchmarks.paper.result import Result
from nested_lightning.figures import reliability_diagram
from nested_lightning.functional.reliability import reliability_bins

PARTS = {"clean": "clean samples", "distortion_2": "distortion 2"}
BINS = 15


@figure("reliability", dataset="mnist", variants=["nested"], seeds=1, one_seed=True)
def show_reliability(runs: Runs) -> Result:
    """Return the picture."""
    module, loaders = runs.open("nested")
    uncalibrated = open_uncalibrated(runs.folders("nested")[0])
    bins: dict[str, dict[str, Tensor]] = {}
    for part, title in PARTS.items():
        for state, model in {"before calibration": uncalibrated or module, "after calibration": module}.items():
            sums = bins.setdefault(f"{title}, {state}", {})
            for images, target in loaders[part]:
                probabilities = model.predict(images).probabilities
                for level, p, labels in zip(model.taxonomy.levels, probabilities, target.T, strict=True):
                    sums[level] = sums.get(level, torch.zeros(BINS, 3)) + reliability_bins(p, labels, BINS)
    title = "Reliability: MNIST, nested, before and after calibration"
    return Result(title=title, pictures={runs.name: draw_reliability(bins)})


def draw_reliability(bins: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Draw one reliability diagram per title of a row and level, from its :func:`reliability_bins`."""
    figure = Figure(figsize=(9, 2.5 * len(bins) + 0.6), layout="constrained")
    heights = [1.0] * (len(bins) - 1) + [1.25]  # the last row has the axis labels and the legend
    parts = figure.subfigures(len(bins), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (title, levels) in zip(parts, bins.items(), strict=True):
        part.suptitle(title, fontweight="bold")
        panels = part.subplots(1, len(levels), sharey=True, squeeze=False)[0]
        for panel, (level, counted) in zip(panels, levels.items(), strict=True):
            reliability_diagram(counted, panel)
            panel.set_title(f"{level}: {panel.get_title()}", fontsize=9)
            panel.set(ylim=(0, 1.35), yticks=[0, 0.5, 1])  # the counts need more room in a low panel
            for count in panel.texts:
                count.set(position=(0, 7), fontsize=7.5)
            panel.get_legend().remove()
            panel.label_outer()
            if title != list(bins)[-1]:
                panel.set(xlabel="", xticklabels=[])
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
