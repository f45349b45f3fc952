"""The figures of a run: which there are, under which names, with a panel per level where levels are compared."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nested_lightning.figures.confidence import confidence_histogram
from nested_lightning.figures.depth import depth_chart
from nested_lightning.figures.distortion import distortion_curves
from nested_lightning.figures.level_confusion import confusion_by_taxonomy
from nested_lightning.figures.reliability import reliability_diagram
from nested_lightning.figures.risk_coverage import risk_coverage_diagram
from nested_lightning.figures.samples import Sample, samples_sheet
from nested_lightning.figures.style import COLOURS, SMALL, Drawn, panels, plain, share_legend
from nested_lightning.figures.timeline import Epochs, accuracy_timeline, loss_timeline
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.predictions import EvaluatedPredictions
from nested_lightning.taxonomy import Taxonomy

Drawings = Iterator[tuple[str, Callable[[], Figure]]]
"""Names, and the functions that draw: a figure that fails takes no other with it, and one at a time is in memory."""

Tested = Mapping[str, Any]
"""Of test rows under a distortion: its ``name``, its ``strength`` or None, its ``metrics`` by ``LEVEL/accuracy``."""


def level_name(index: int, level: str) -> str:
    """Return how the names of figures and files call a level.

    Example:
        >>> level_name(0, "family/genus")
        '1-family_genus'
    """
    safe = re.sub(r"[^\w.-]+", "_", level)
    return f"{index + 1}-{safe}"


def of_levels(metrics: NestedMetrics, answers: EvaluatedPredictions, n_levels: int) -> Drawings:
    """Give ``reliability`` of the first levels, and ``confusion-1-LEVEL`` and so on of each."""
    taxonomy = metrics.taxonomy
    yield "reliability", partial(_reliability, metrics, n_levels)
    for level in range(n_levels):
        yield f"confusion-{level_name(level, taxonomy.levels[level])}", partial(_confusion, answers, taxonomy, level)


def of_answers(metrics: NestedMetrics, answers: EvaluatedPredictions) -> Drawings:
    """Give ``confidence``, ``risk_coverage`` and ``depth`` of all levels."""
    levels = metrics.taxonomy.levels
    yield "confidence", partial(_confidence, metrics)
    risks = dict(zip((*levels, "cut paths"), metrics.risks, strict=True))
    yield "risk_coverage", lambda: _whole(risk_coverage_diagram(risks))
    yield "depth", lambda: _whole(depth_chart(answers.count_depths(metrics.threshold), levels))


def of_training(epochs: Epochs, levels: Sequence[str]) -> Drawings:
    """Give ``timeline``: losses and accuracies over the epochs, one above the other."""
    yield "timeline", partial(_timeline, epochs, levels)


def of_samples(samples: Callable[[], Sequence[Sample]], levels: Sequence[str]) -> Drawings:
    """Give ``samples``, those that the function returns."""
    yield "samples", lambda: _whole(samples_sheet(samples(), levels))


def of_distortions(tests: Sequence[Tested], levels: Sequence[str]) -> Drawings:
    """Give ``distortions``: accuracy and confidence of each level under each distortion."""
    yield "distortions", partial(compared_distortions, {"": tests}, levels)


def _whole(drawn: Drawn) -> Figure:
    figure: Figure = drawn[0]
    return figure


def _confusion(answers: EvaluatedPredictions, taxonomy: Taxonomy, level: int) -> Figure:
    return _whole(confusion_by_taxonomy(answers.confusion(level, taxonomy.sizes[level]), taxonomy, level))


def _reliability(metrics: NestedMetrics, n_levels: int) -> Figure:
    figure, axes = panels(n_levels)
    for level, ax in enumerate(axes):
        reliability_diagram(metrics.bins[level], ax)
        _put_before_title(ax, metrics.taxonomy.levels[level])
    share_legend(figure, axes)
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
        runs: by name what was tested; one without a name stands alone.
        levels: names, coarse to fine.
    """
    figure, axes = panels(len(levels))
    for level, ax in zip(levels, axes, strict=True):
        for i, (run, tests) in enumerate(runs.items()):
            _distortions_of(run, tests, level, COLOURS[i % len(COLOURS)], ax)
        _put_before_title(ax, level)
    share_legend(figure, axes, columns=len(runs) if len(runs) > 1 else 2)
    return figure


def _distortions_of(run: str, tests: Sequence[Tested], level: str, colour: str, ax: Axes) -> None:
    strengths = [float(test["strength"]) for test in tests if test["strength"] is not None]
    right, sure = ([test["metrics"][f"{level}/{name}"] for test in tests] for name in ("accuracy", "confidence"))
    names, places = [test["name"] for test in tests], strengths if len(strengths) == len(tests) else None
    distortion_curves(names, right, sure, places, ax, run, colour)


def _put_before_title(ax: Axes, level: str) -> None:
    title = ax.get_title()
    ax.set_title(f"{plain(level, 24)}{': ' if title else ''}{title}", fontsize=SMALL + 1)
