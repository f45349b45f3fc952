"""Accuracy and confidence as the inputs get worse."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from nested_lightning.figures.style import BLUE, SMALL, Drawn, describe, new_axes, plain


def distortion_curves(
    names: Sequence[str],
    accuracy: Sequence[float],
    confidence: Sequence[float],
    strengths: Sequence[float] | None = None,
    ax: Axes | None = None,
    label: str = "",
    colour: str = BLUE,
) -> Drawn:
    """Plot the accuracy (solid) and mean confidence (dashed) of one run against the distortions.

    Confidence above accuracy is overconfidence; for a single run the area between them is shaded. Further calls with
    the same axes add other runs.

    Args:
        names: of the distortions, the undistorted samples among them.
        accuracy: a share per distortion.
        confidence: a share per distortion.
        strengths: a place on the axis per distortion; None: side by side in their order.
        ax: axes to draw on; default: new ones.
        label: of the run, where there are several.
        colour: of the run.
    """
    ax = new_axes() if ax is None else ax
    places = list(range(len(names))) if strengths is None else list(strengths)
    correct, confident = ([100 * share for share in shares] for shares in (accuracy, confidence))
    for values, line, marker, what in ((correct, "-", "o", "accuracy"), (confident, "--", "D", "confidence")):
        text = f"{plain(label)}: {what}" if label else what
        ax.plot(places, values, line, color=colour, marker=marker, markersize=4, label=text)
    if not label:
        ax.fill_between(places, correct, confident, color=colour, alpha=0.1, linewidth=0)
    describe(ax, "distortion" if strengths is None else "strength of the distortion", "accuracy, confidence, %")
    if strengths is None:
        ax.set_xticks(places, [plain(name, 24) for name in names], rotation=30, ha="right", fontsize=SMALL)
    else:
        ax.set_xticks(places, [f"{place:g}" for place in places], fontsize=SMALL)
    ax.legend(loc="lower left", fontsize=SMALL)
    return ax.figure, ax
