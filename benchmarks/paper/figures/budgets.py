"""Label-budget curves: what a method reaches with so many fine labels. Not in the paper."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.paper.figures.curves import COLOURS

Figures = Mapping[str, float]
Seeds = Sequence[Mapping[str, Figures]]

_CLEAN = "clean"
_MARKERS = "osD^vP"


def draw_budgets(results: Mapping[str, Mapping[int, Seeds]]) -> Figure:
    """Draw accuracy, whole paths and the gap between confidence and accuracy against the number of fine labels.

    A row of panels for each part of the test data; lines are means over seeds, bands their standard deviation. Both
    accuracies of a row have one scale, and the gaps under all distortions have one.

    Args:
        results: by method (6 at most), by number of fine labels, for each seed: by part of the test data (``clean``
            and such as ``distortion_2``) the figures of the finest level, as shares, under ``accuracy`` and
            ``confidence``, and ``path/accuracy``.
    """
    measures: dict[str, Callable[[Figures], float]] = {
        "accuracy, finest level": lambda f: f["accuracy"],
        "accuracy of the whole path": lambda f: f["path/accuracy"],
        "confidence − accuracy": lambda f: f["confidence"] - f["accuracy"],
    }
    budgets = sorted({budget for by_budget in results.values() for budget in by_budget})
    parts = list(next(iter(next(iter(results.values())).values()))[0])
    figure = Figure(figsize=(9, 0.9 + 2 * len(parts)), layout="constrained")
    grid = figure.subplots(len(parts), len(measures), sharex=True, squeeze=False)
    gaps = [row[-1] for row, part in zip(grid, parts, strict=True) if part != _CLEAN]
    for panel in gaps[1:]:
        panel.sharey(gaps[0])
    for row, part in zip(grid, parts, strict=True):
        row[1].sharey(row[0])
        row[1].tick_params(labelleft=False)
        row[0].set_ylabel(f"{part.replace('_', ' ')}, %", fontsize=11)
        row[-1].axhline(0, color="black", linewidth=0.8)
        for panel, measure in zip(row, measures.values(), strict=True):
            _draw_panel(panel, results, part, measure)
    for panel, title in zip(grid[0], measures, strict=True):
        panel.set_title(title, fontsize=11)
    for panel in grid[-1]:
        panel.set_xscale("log")
        panel.set_xlabel("rows with a finest label")
        panel.set_xticks(budgets, [f"{budget / 1000:g}k" if budget >= 1000 else f"{budget}" for budget in budgets])
        panel.xaxis.set_minor_locator(NullLocator())
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=11)
    return figure


def _draw_panel(
    panel: Axes, results: Mapping[str, Mapping[int, Seeds]], part: str, measure: Callable[[Figures], float]
) -> None:
    """Draw a line with its band for each method."""
    panel.grid(color="0.9")
    panel.set_axisbelow(True)
    for (method, by_budget), colour, marker in zip(results.items(), COLOURS, _MARKERS, strict=False):
        found = {budget: [100 * measure(seed[part]) for seed in seeds] for budget, seeds in sorted(by_budget.items())}
        table = pd.DataFrame.from_dict(found, orient="index")
        mean, spread = table.mean(axis=1), table.std(axis=1)  # no spread, and no band, with a single seed
        panel.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        panel.plot(mean.index, mean, color=colour, marker=marker, markersize=5, label=method.replace("_", " "))
