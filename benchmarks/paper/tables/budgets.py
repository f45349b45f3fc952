"""Label-budget curves: accuracy, confidence and whole paths against the number of fine labels. Not in the paper."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.paper.commands import Differences, Runs, figure
from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import list_budget_variants, read_settings
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.significance import subtract
from benchmarks.paper.tables.curves import COLOURS

Values = Mapping[str, float]
Curves = Mapping[str, Mapping[int, Sequence[Mapping[str, Values]]]]
"""By method, number of fine labels, seed and part of the test samples: the values of the finest level, as shares."""
PARTS = {CLEAN: "Original", "distortion_2": "Distortion 2", "distortion_4": "Distortion 4"}
SUMMARISED = {CLEAN: "clean", "distortion_4": "distortion 4"}
MEASURES: dict[str, Callable[[Values], float]] = {
    "accuracy, finest level": lambda values: values["accuracy"],
    "accuracy of the whole path": lambda values: values["path/accuracy"],
    "confidence − accuracy": lambda values: values["confidence"] - values["accuracy"],
}
_MARKERS = "osD^vP"


def _accuracy_in(part: str) -> Callable[[Mapping[str, Values]], float]:
    return lambda seed: seed[part]["accuracy"]


def _variants(dataset: str) -> list[str]:
    return [variant for by_number in list_budget_variants(dataset).values() for variant in by_number.values()]


def read_differences(dataset: str, result: Result) -> tuple[str, Differences]:
    """Return nested minus each baseline at the finest level, by number of fine labels, clean and distorted."""
    curves: Any = result.values
    nested = curves["nested"]
    parts = [part for part in SUMMARISED if part in next(iter(nested.values()))[0]]
    found: dict[str, dict[str, list[float]]] = {}
    for method in [name for name in curves if name != "nested"]:
        for part in parts:
            row = found.setdefault(f"{method.replace('_', ' ')}, {SUMMARISED[part]}", {})
            for n, seeds in nested.items():
                differences = subtract(seeds, curves[method][n], _accuracy_in(part))
                row[f"{int(n):,}"] = [100 * difference for difference in differences]
    return f"Few fine labels, {read_settings(dataset)['name']}, finest level", found


@figure("budgets_dbpedia", dataset="dbpedia", variants=_variants("dbpedia"), seeds=3, differences=read_differences)
@figure("budgets_fashion", dataset="fashion_mnist", variants=_variants("fashion_mnist"), differences=read_differences)
@figure("budgets_mnist", dataset="mnist", variants=_variants("mnist"), differences=read_differences)
def build_curves(runs: Runs) -> Result:
    """Return the curves as a table of fine accuracy and confidence, all their values, and the picture."""
    curves: dict[str, dict[int, list[Any]]] = {}
    rows = []
    for method, variants in list_budget_variants(runs.dataset).items():
        for n, variant in variants.items():
            measured = [e["calibrated"] for e in runs.evaluations(variant)]
            seeds = [{part: _finest(seed[part]) for part in PARTS if part in seed} for seed in measured]
            curves.setdefault(method, {})[n] = seeds
            cells = [
                Cell(*(percent([seed[part][key] for seed in seeds]) for key in ("accuracy", "confidence")))
                for part in seeds[0]
            ]
            rows.append(Row(f"{method.replace('_', ' ')}, {n:,} fine labels", cells))
    settings = read_settings(runs.dataset)
    return Result(
        title=f"Label budgets, {settings['name']}: {settings['budgets']['beside']} beside the fine ones",
        columns=[PARTS[part] for part in seeds[0]],
        rows=rows,
        notes=["Accuracy and confidence of the finest level, calibrated and combined."],
        values=curves,
        pictures={runs.name: draw_budgets(curves)},
    )


def _finest(metrics: Values) -> dict[str, float]:
    """Return the values of the finest level, which is logged last, and of whole paths."""
    *_, finest = (key.removesuffix("/accuracy") for key in metrics if key.endswith("/accuracy") and "path" not in key)
    values = {name: metrics[f"{finest}/{name}"] for name in ("accuracy", "confidence")}
    return {**values, "path/accuracy": metrics["path/accuracy"], "path/f1": metrics["path/f1"]}


def draw_budgets(curves: Curves) -> Figure:
    """Draw accuracy, whole paths and the gap between confidence and accuracy against the number of fine labels.

    A row of panels for each part of the test samples; lines are means over seeds, bands their standard deviation. Both
    accuracies of a row share one scale, and the gaps under all distortions share one. At most 6 methods.
    """
    budgets = sorted({budget for by_budget in curves.values() for budget in by_budget})
    parts = list(next(iter(next(iter(curves.values())).values()))[0])
    figure = Figure(figsize=(9, 0.9 + 2 * len(parts)), layout="constrained")
    grid = figure.subplots(len(parts), len(MEASURES), sharex=True, squeeze=False)
    gaps = [row[-1] for row, part in zip(grid, parts, strict=True) if part != CLEAN]
    for panel in gaps[1:]:
        panel.sharey(gaps[0])
    for row, part in zip(grid, parts, strict=True):
        row[1].sharey(row[0])
        row[1].tick_params(labelleft=False)
        row[0].set_ylabel(f"{part.replace('_', ' ')}, %", fontsize=11)
        row[-1].axhline(0, color="black", linewidth=0.8)
        for panel, measure in zip(row, MEASURES.values(), strict=True):
            _draw_panel(panel, curves, part, measure)
    for panel, title in zip(grid[0], MEASURES, strict=True):
        panel.set_title(title, fontsize=11)
    for panel in grid[-1]:
        panel.set_xscale("log")
        panel.set_xlabel("samples with a finest label")
        panel.set_xticks(budgets, [f"{budget / 1000:g}k" if budget >= 1000 else f"{budget}" for budget in budgets])
        panel.xaxis.set_minor_locator(NullLocator())
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=11)
    return figure


def _draw_panel(panel: Axes, curves: Curves, part: str, measure: Callable[[Values], float]) -> None:
    """Draw a line with its band for each method."""
    panel.grid(color="0.9")
    panel.set_axisbelow(True)
    for (method, by_budget), colour, marker in zip(curves.items(), COLOURS, _MARKERS, strict=False):
        found = {budget: [100 * measure(seed[part]) for seed in seeds] for budget, seeds in sorted(by_budget.items())}
        table = pd.DataFrame.from_dict(found, orient="index")
        mean, spread = table.mean(axis=1), table.std(axis=1)  # one seed has no spread, and so no band
        panel.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        panel.plot(mean.index, mean, color=colour, marker=marker, markersize=5, label=method.replace("_", " "))
