"""Figure 5: accuracy over the epochs of cascaded and traditional training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.result import Result
from nested_lightning.errors import DataError
from nested_lightning.figures.style import BLUE, ORANGE

COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Of the methods, in their order; from Okabe and Ito."""
_STYLES = ("-", "--", ":", "-.", "-", "--")
_TICKS = (10, 50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)


@figure("figure5", dataset="mnist", variants=["nested", "traditional"], measured=False)
def show_curves(runs: Runs) -> Result:
    """Return the picture, drawn from the runs' own logs."""
    folders = {"cascaded": runs.folders("nested"), "traditional": runs.folders("traditional")}
    return Result(
        title="Figure 5: MNIST, accuracy on the validation rows during training",
        notes=["An epoch of a cascaded stage has 6,000 samples, one of traditional training 18,000."],
        pictures={runs.name: draw_curves(folders, ("coarse", "middle", "fine"))},
    )


def draw_curves(runs: Mapping[str, Sequence[Path]], levels: Sequence[str]) -> Figure:
    """Draw the accuracy on the validation samples after every epoch: thin lines are runs, a bold one is their mean.

    ``runs`` has the folders of the runs by method (6 at most). The vertical axis is stretched towards 100 %: equal
    steps divide the errors by equal factors. The mean ends with the shortest run of the method. Vertical lines in the
    colour of a cascade show where its next stage begins.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(levels), sharex=True, sharey=True, squeeze=False)[0]
    panels[0].set_ylabel("accuracy, validation samples, %")
    for panel, level in zip(panels, levels, strict=True):
        panel.set(title=level, xlabel="epochs")
        panel.set_yscale("function", functions=(_stretch, lambda z: 100 - 10**-z))
        panel.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        panel.grid(color="0.9")
        panel.set_axisbelow(True)
    seen = []
    for (method, folders), colour, style in zip(runs.items(), COLOURS, _STYLES, strict=False):
        found = [_read_epochs(folder, levels) for folder in folders]
        seen += [run[list(levels)].to_numpy().ravel() for run in found]
        for panel, level in zip(panels, levels, strict=True):
            _draw_method(panel, found, level, method, colour, style)
            _draw_stages(panel, found, colour)
    lowest, highest = np.nanmin(np.concatenate(seen)), np.nanmax(np.concatenate(seen))
    panels[0].set(xlim=(0, None), ylim=(max(lowest - 1, 0), 100 - 0.8 * (100 - highest)))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(runs), frameon=False)
    return figure


def _stretch(percent: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the position of accuracies on the axis, with errors of at least 0.01 points."""
    errors: npt.NDArray[np.float64] = np.maximum(100 - np.asarray(percent, dtype=float), 0.01)
    return -np.log10(errors)


def _read_epochs(run: Path, levels: Sequence[str]) -> Any:
    """Return a row per epoch: accuracy in percent by level, the stage, and the position ``x`` on the axis."""
    rows = pd.read_csv(run / "metrics.csv")
    columns = {f"val/{level}/accuracy": level for level in levels}
    if missing := columns.keys() - set(rows):
        raise DataError(f"{run}/metrics.csv has no column {sorted(missing)[0]}: give levels that the run has validated")
    by_epoch = rows.dropna(subset="epoch").assign(x=rows["epoch"] + 1).groupby("epoch").last()
    stages = by_epoch.get("cascade/stage", 1)  # 1 without a cascade
    return (100 * by_epoch[list(columns)]).rename(columns=columns).assign(stage=stages, x=by_epoch["x"])


def _draw_method(panel: Axes, runs: Sequence[Any], level: str, method: str, colour: str, style: str) -> None:
    for run in runs:
        panel.plot(run["x"], run[level], color=colour, linewidth=0.7, alpha=0.45)
    x, mean = (pd.concat([run[key] for run in runs], axis=1).mean(axis=1, skipna=False) for key in ("x", level))
    panel.plot(x, mean, color=colour, linestyle=style, linewidth=2, label=method.replace("_", " "))


def _draw_stages(panel: Axes, runs: Sequence[Any], colour: str) -> None:
    """Mark where the stages after the first begin, which may differ between seeds."""
    starts = set()
    for run in runs:
        begins = run["stage"].diff() > 0
        starts |= set(zip(run["stage"][begins].astype(int), run["x"].shift()[begins], strict=True))
    named = dict(sorted(starts, reverse=True))  # a stage's earliest line has its name
    for stage, x in starts:
        panel.axvline(x, color=colour, linewidth=0.8)
        if named[stage] == x:
            bottom = panel.get_xaxis_transform()
            panel.text(x, 0.02, f"stage {stage}", transform=bottom, rotation=90, va="bottom", color=colour, fontsize=8)
