"""The estimates of mutual information while the estimator learns (Fig. 4, right)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nested_lightning.figures.style import BLUE, ORANGE

_LINES = {"FG": ("I(F, G)", "-"), "FH": ("I(F, H)", "--")}


def draw_information(estimates: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw I(F, G) and I(F, H) over the estimator's steps: the mean of the seeds, and a band that holds all of them.

    Args:
        estimates: one or two variants by name, such as "with skip connections" and "without"; of each what
            ``evaluate_information`` returned for every seed, with the same number of steps.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for (variant, seeds), colour in zip(estimates.items(), (BLUE, ORANGE), strict=False):
        for pair, (label, style) in _LINES.items():
            steps = seeds[0][pair]["steps"]
            histories = np.array([seed[pair]["history"] for seed in seeds])
            axes.plot(steps, histories.mean(axis=0), style, color=colour, linewidth=2, label=f"{label} {variant}")
            axes.fill_between(steps, histories.min(axis=0), histories.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    deltas = {variant: np.mean([seed["delta"] for seed in seeds]) for variant, seeds in estimates.items()}
    axes.set_title("Δ = I(F, G) - I(F, H):  " + ",  ".join(f"{value:+.2f} {name}" for name, value in deltas.items()))
    axes.set(xlabel="steps of the estimator", ylabel="mutual information, nats", xlim=(0, None))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
