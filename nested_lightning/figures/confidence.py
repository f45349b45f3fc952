"""Figures of confidence: reliability diagram, histogram, and risk-coverage curve."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import BLUE, ORANGE, SMALL, Drawn, describe, look, new_axes, plain
from nested_lightning.functional.reliability import ece_of
from nested_lightning.functional.selective import BINS, LIMIT, area_of

_PERCENT = (0.1, 1, 10, 50, 90, 99, 99.9, 99.99, 99.999)
_FINE = (1, 2, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 99)


def reliability_diagram(bins: Tensor, ax: Axes | None = None) -> Drawn:
    """Draw the accuracy in every bin of confidence with the number of samples in it; an empty bin stays blank.

    Bars below the diagonal are overconfident, bars above it underconfident.

    Args:
        bins: ``[n, 3]`` from :func:`nested_lightning.functional.reliability.reliability_bins`.
        ax: axes to draw on; default: new ones.
    """
    ax = new_axes() if ax is None else ax
    counts, confidences, correct = bins.cpu().T
    width = 1 / len(bins)
    filled = counts.nonzero().flatten()
    centres = ((filled + 0.5) * width).tolist()
    accuracy = (correct[filled] / counts[filled]).tolist()
    means = (confidences[filled] / counts[filled]).tolist()
    ax.bar(centres, accuracy, width, color=BLUE, edgecolor="white", label="accuracy")
    ax.scatter(means, accuracy, marker="D", s=20, color=ORANGE, label="at mean confidence", zorder=3)
    ax.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="perfect calibration")
    style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "rotation": 90, "fontsize": SMALL}
    for centre, height, count in zip(centres, accuracy, counts[filled].tolist(), strict=True):
        ax.annotate(f"{count:.0f}", (centre, height), (0, 7), **style)
    describe(ax, "confidence", "accuracy", f"ECE {100 * float(ece_of(bins)):.2f} %, {counts.sum():.0f} samples")
    # Room for the counts above the bars.
    ax.set(xlim=(0, 1), ylim=(0, 1.25), yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.legend(loc="upper left", fontsize=SMALL)
    return ax.figure, ax


def confidence_histogram(counts: Tensor, ax: Axes | None = None) -> Drawn:
    """Draw how many correct and incorrect predictions there are at each confidence.

    The axis of confidences is in log-odds, which separates 99 % from 99.9 %; that of counts is logarithmic because
    incorrect predictions are few. The outermost bars include everything beyond 0.1 % and 99.999 %.

    Args:
        counts: ``LongTensor[BINS, 2]`` from :func:`nested_lightning.functional.selective.risk_histogram`.
        ax: axes to draw on; default: new ones.
    """
    ax = new_axes() if ax is None else ax
    counts, n_bars = counts.cpu(), 24
    places = (torch.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT
    places = places.clamp(_log_odds(_PERCENT[0]), _log_odds(_PERCENT[-1]))
    seen = places[counts.sum(dim=1) > 0]
    low, high = (float(seen.min()) - 0.2, float(seen.max()) + 0.2) if len(seen) else (-1.0, 1.0)
    edges = torch.linspace(low, high, n_bars + 1)
    bar = torch.bucketize(places, edges[1:-1])
    incorrect, correct = torch.zeros(2, n_bars, dtype=torch.long).index_add(1, bar, counts.T)
    width = (high - low) / n_bars
    for heights, start, colour, name in ((correct, 0, BLUE, "correct"), (incorrect, width / 2, ORANGE, "incorrect")):
        label = f"{name}: {int(heights.sum()):,}"
        ax.bar((edges[:-1] + start).tolist(), heights.tolist(), width / 2, align="edge", color=colour, label=label)
    describe(ax, "confidence, %", "predictions")
    # A wide axis only has room for powers of ten.
    ticks = [percent for percent in (_PERCENT if high - low > 6 else _FINE) if low <= _log_odds(percent) <= high]
    ax.set_xticks([_log_odds(percent) for percent in ticks], [f"{percent:g}" for percent in ticks])
    ax.set_yscale("log" if len(seen) else "linear")
    ax.set(xlim=(low, high), ylim=(0.7, 5 * max(1, int(counts.max()), int(correct.max()))))
    ax.legend(loc="upper left", ncols=2, fontsize=SMALL)
    return ax.figure, ax


def risk_coverage_diagram(counts: Mapping[str, Tensor], ax: Axes | None = None) -> Drawn:
    """Draw the share of incorrect predictions among the most confident ones against the share of predictions kept.

    Args:
        counts: by name, such as that of a level, ``LongTensor[n, 2]`` from
            :func:`nested_lightning.functional.selective.risk_histogram`; without a prediction there is no line.
        ax: axes to draw on; default: new ones.
    """
    ax = new_axes() if ax is None else ax
    for i, (name, of_name) in enumerate(counts.items()):
        of_name = of_name.cpu()
        filled = of_name[of_name.sum(dim=1) > 0].flip(0).cumsum(dim=0)
        if not len(filled):
            continue
        kept = filled.sum(dim=1).double()
        coverage, risk = kept / kept[-1], 100.0 * filled[:, 0] / kept
        label = f"{plain(name)}: AURC {100 * float(area_of(of_name)):.2f} %"
        ax.plot(coverage.tolist(), risk.tolist(), label=label, **look(i))
    title = "withholding the least confident predictions"
    describe(ax, "coverage: share of predictions kept", "risk: incorrect among them, %", title)
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    if ax.lines:
        ax.legend(loc="upper left", fontsize=SMALL)
    return ax.figure, ax


def _log_odds(percent: float) -> float:
    return float(torch.logit(torch.tensor(percent / 100, dtype=torch.float64)))
