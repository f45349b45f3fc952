"""How sure the right and the wrong answers are."""

import torch
from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import BLUE, ORANGE, SMALL, Drawn, describe, new_axes
from nested_lightning.functional.selective import BINS, LIMIT

_PERCENT = (0.1, 1, 10, 50, 90, 99, 99.9, 99.99, 99.999)
_FINE = (1, 2, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 99)
_BARS = 24
_WIDE = 6  # log-odds from which on the axis has room for powers of ten alone


def confidence_histogram(counts: Tensor, ax: Axes | None = None) -> Drawn:
    """Draw how many right and how many wrong answers there are at each confidence.

    The axis is that of log-odds, so that 99 % and 99.9 % are told apart; numbers are on a logarithmic axis, as wrong
    answers are few. What lies beyond 0.1 % or 99.999 % is in the outermost bars.

    Args:
        counts: ``LongTensor[BINS, 2]`` from :func:`nested_lightning.functional.selective.risk_histogram`.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    ax = new_axes() if ax is None else ax
    counts = counts.cpu()
    places = ((torch.arange(BINS) + 0.5) * (2 * LIMIT / BINS) - LIMIT).clamp(*(_log_odds(p) for p in _ENDS))
    seen = places[counts.sum(dim=1) > 0]
    low, high = (float(seen.min()) - 0.2, float(seen.max()) + 0.2) if len(seen) else (-1.0, 1.0)
    edges = torch.linspace(low, high, _BARS + 1)
    bar = torch.bucketize(places, edges[1:-1])
    wrong, right = torch.zeros(2, _BARS, dtype=torch.long).index_add(1, bar, counts.T)
    width = (high - low) / _BARS
    for heights, start, colour, name in ((right, 0, BLUE, "right"), (wrong, width / 2, ORANGE, "wrong")):
        label = f"{name}: {int(heights.sum()):,}"
        ax.bar((edges[:-1] + start).tolist(), heights.tolist(), width / 2, align="edge", color=colour, label=label)
    describe(ax, "confidence, %", "answers")
    ticks = [percent for percent in (_PERCENT if high - low > _WIDE else _FINE) if low <= _log_odds(percent) <= high]
    ax.set_xticks([_log_odds(percent) for percent in ticks], [f"{percent:g}" for percent in ticks])
    ax.set_yscale("log" if len(seen) else "linear")
    ax.set(xlim=(low, high), ylim=(0.7, 5 * max(1, int(counts.max()), int(right.max()))))
    ax.legend(loc="upper left", ncols=2, fontsize=SMALL)
    return ax.figure, ax


def _log_odds(percent: float) -> float:
    return float(torch.logit(torch.tensor(percent / 100, dtype=torch.float64)))


_ENDS = (_PERCENT[0], _PERCENT[-1])
