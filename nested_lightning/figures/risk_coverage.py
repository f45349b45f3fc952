"""Risk against coverage: how wrong the answers are that stay when the least confident ones are withheld."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from torch import Tensor

from nested_lightning.figures.style import SMALL, Drawn, describe, look, new_axes, plain
from nested_lightning.functional.selective import area_of


def risk_coverage_diagram(counts: Mapping[str, Tensor], ax: Axes | None = None) -> Drawn:
    """Draw the share of wrong answers among the most confident ones against the share of answers kept.

    Args:
        counts: by name, such as that of a level, ``LongTensor[n, 2]`` from
            :func:`nested_lightning.functional.selective.risk_histogram`; without an answer there is no line.
        ax: axes to draw on; None: those of a new figure.

    Returns:
        ``(fig, ax)``.
    """
    ax = new_axes() if ax is None else ax
    for i, (name, of_name) in enumerate(counts.items()):
        of_name = of_name.cpu()
        filled = of_name[of_name.sum(dim=1) > 0].flip(0).cumsum(dim=0)
        if not len(filled):
            continue
        kept = filled.sum(dim=1).double()
        label = f"{plain(name)}: AURC {100 * float(area_of(of_name)):.2f} %"
        coverage, risk = kept / kept[-1], 100.0 * filled[:, 0] / kept
        ax.plot(coverage.tolist(), risk.tolist(), label=label, **look(i))
    describe(ax, "coverage: share of answers kept", "risk: wrong among them, %", "withholding the least sure answers")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    if ax.lines:
        ax.legend(loc="upper left", fontsize=SMALL)
    return ax.figure, ax
