"""Reliability diagrams in a grid: a row per state of a run, a column per level."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from nested_lightning.figures import reliability_diagram


def draw_reliability(bins: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Draw one reliability diagram per row and level.

    Args:
        bins: by title of the row, such as ``clean, before calibration``, and by level, coarse to fine:
            ``[n, 3]`` from :func:`nested_lightning.functional.reliability.reliability_bins`.
    """
    figure = Figure(figsize=(9, 2.5 * len(bins) + 0.6), layout="constrained")
    heights = [1.0] * (len(bins) - 1) + [1.25]  # the last row has the axis labels and the legend
    parts = figure.subfigures(len(bins), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (title, levels) in zip(parts, bins.items(), strict=True):
        part.suptitle(title, fontweight="bold")
        panels = part.subplots(1, len(levels), sharey=True, squeeze=False)[0]
        for panel, (level, counted) in zip(panels, levels.items(), strict=True):
            reliability_diagram(counted, panel)
            panel.set_title(f"{level}: {panel.get_title()}", fontsize=9)
            panel.set(ylim=(0, 1.35), yticks=[0, 0.5, 1])  # in a low panel the counts need more room
            for count in panel.texts:
                count.set(position=(0, 7), fontsize=7.5)
            panel.get_legend().remove()
            panel.label_outer()
            if title != list(bins)[-1]:
                panel.set(xlabel="", xticklabels=[])
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure
