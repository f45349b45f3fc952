"""The figures of a run by name, with a panel per level where levels are compared."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nested_lightning.figures import (
    Sample,
    accuracy_timeline,
    confidence_histogram,
    confusion_by_taxonomy,
    depth_chart,
    distortion_curves,
    loss_timeline,
    reliability_diagram,
    risk_coverage_diagram,
    samples_sheet,
)
from nested_lightning.figures.style import COLOURS, SMALL, panels, plain, share_legend
from nested_lightning.figures.timeline import Epochs
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.evaluation import Measured

Drawings = Iterator[tuple[str, Callable[[], Figure]]]
"""Names, and the functions that draw: a figure that fails affects no other, and only one at a time is in memory."""

Tested = Mapping[str, Any]
"""Results of a test loader: its ``name``, the ``strength`` of its distortion or None, ``metrics`` by LEVEL/accuracy."""


def level_name(index: int, level: str) -> str:
    """Return the name of a level in figures and files.

    Example:
        >>> level_name(0, "family/genus")
        '1-family_genus'
    """
    safe = re.sub(r"[^\w.-]+", "_", level)
    return f"{index + 1}-{safe}"


def draw_levels(measured: Measured, n_levels: int) -> Drawings:
    """Yield ``reliability`` of the first levels, and ``confusion-1-LEVEL`` and so on of each."""
    yield "reliability", partial(_reliability, measured.metrics, n_levels)
    for level, name in enumerate(measured.metrics.taxonomy.levels[:n_levels]):
        yield f"confusion-{level_name(level, name)}", partial(_confusion, measured, level)


def draw_end(measured: Measured, epochs: Epochs, samples: Callable[[], Sequence[Sample]] | None) -> Drawings:
    """Yield the figures of a trained model: those of its levels, ``confidence``, ``depth`` and so on.

    Args:
        measured: the model's predictions and metrics.
        epochs: what every epoch logged.
        samples: returns the samples for their sheet; None: no sheet.
    """
    metrics, levels = measured.metrics, measured.metrics.taxonomy.levels
    risks = dict(zip((*levels, "cut paths"), metrics.risks, strict=True))
    yield from draw_levels(measured, len(levels))
    yield "confidence", partial(_confidence, metrics)
    yield "risk_coverage", lambda: risk_coverage_diagram(risks)[0]
    yield "depth", lambda: depth_chart(measured.predictions.count_depths(metrics.threshold), levels)[0]
    yield "timeline", partial(_timeline, epochs, levels)
    if samples is not None:
        yield "samples", lambda: samples_sheet(samples(), levels)[0]


def _reliability(metrics: NestedMetrics, n_levels: int) -> Figure:
    figure, axes = panels(n_levels)
    for level, ax in enumerate(axes):
        reliability_diagram(metrics.bins[level], ax)
        _put_before_title(ax, metrics.taxonomy.levels[level])
    share_legend(figure, axes)
    return figure


def _confusion(measured: Measured, level: int) -> Figure:
    taxonomy = measured.metrics.taxonomy
    confusion = measured.predictions.confusion(level, taxonomy.sizes[level])
    figure: Figure = confusion_by_taxonomy(confusion, taxonomy, level)[0]
    return figure


def _confidence(metrics: NestedMetrics) -> Figure:
    levels = metrics.taxonomy.levels
    figure, axes = panels(len(levels), height=2.6)
    for level, ax in enumerate(axes):
        confidence_histogram(metrics.risks[level], ax)
        _put_before_title(ax, levels[level])
    return figure


def _timeline(epochs: Epochs, levels: Sequence[str]) -> Figure:
    figure, (above, below) = panels(2, 6.4, 2.8, columns=1)
    loss_timeline(epochs, above)
    accuracy_timeline(epochs, levels, below)
    above.set_xlabel("")
    return figure


def compared_distortions(runs: Mapping[str, Sequence[Tested]], levels: Sequence[str]) -> Figure:
    """Draw the same levels of several runs under the same distortions, a panel per level.

    Args:
        runs: the tests of each run by its name; a single run needs no name.
        levels: names, coarse to fine.
    """
    figure, axes = panels(len(levels))
    for level, ax in zip(levels, axes, strict=True):
        for i, (run, tests) in enumerate(runs.items()):
            _draw_distortions(run, tests, level, COLOURS[i % len(COLOURS)], ax)
        _put_before_title(ax, level)
    share_legend(figure, axes, columns=len(runs) if len(runs) > 1 else 2)
    return figure


def _draw_distortions(run: str, tests: Sequence[Tested], level: str, colour: str, ax: Axes) -> None:
    strengths = [float(test["strength"]) for test in tests if test["strength"] is not None]
    accuracy, confidence = ([test["metrics"][f"{level}/{key}"] for test in tests] for key in ("accuracy", "confidence"))
    names, places = [test["name"] for test in tests], strengths if len(strengths) == len(tests) else None
    distortion_curves(names, accuracy, confidence, places, ax, run, colour)


def _put_before_title(ax: Axes, level: str) -> None:
    title = ax.get_title()
    ax.set_title(f"{plain(level, 24)}{': ' if title else ''}{title}", fontsize=SMALL + 1)
