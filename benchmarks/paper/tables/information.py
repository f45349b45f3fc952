"""Figure 4: the flow of information with and without skip connections, as MINE estimates it (E.3)."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.mine import estimate_information
from benchmarks.paper.result import Cell, Result, Row
from nested_lightning import NestedLightningModule
from nested_lightning.errors import ConfigurationError
from nested_lightning.figures.style import BLUE, ORANGE

VARIANTS = {"with skip connections": ("nested", 0.37), "without": ("no_skip", 0.21)}
"""By label the variant, and the paper's difference."""
POOLED = 2
"""Height and width to which every map is averaged; the paper pools as well, but does not say to which size."""
_LINES = {"FG": ("I(F, G)", "-"), "FH": ("I(F, H)", "--")}


@figure("figure4", dataset="mnist", variants=["nested", "no_skip"])
def compare_information(runs: Runs) -> Result:
    """Return the estimates in nats, their difference (Delta of Eq. 6 and 7) with the paper's, and the picture."""
    found = {
        label: runs.measure("information", variant, lambda module, x, _, seed: measure_information(module, x, seed))
        for label, (variant, _) in VARIANTS.items()
    }
    rows = []
    for label, estimates in found.items():
        fg, fh = ([round(e[pair]["nats"], 2) for e in estimates] for pair in _LINES)
        delta = [round(e["delta"], 2) for e in estimates]
        rows.append(Row(label, [Cell(fg), Cell(fh), Cell(delta, [], [VARIANTS[label][1]])]))
    return Result(
        title="Figure 4: MNIST, mutual information of feature maps, in nats",
        columns=["I(F, G)", "I(F, H)", "Δ = I(F, G) - I(F, H)"],
        rows=rows,
        notes=[
            "F: after the second pooling; H: coarsest bottleneck; G: next bottleneck; averaged to 2x2. Estimated on "
            "the half of the 5,000 test images that the estimator has not learned from. What these values can show, "
            "and their limits: benchmarks/paper/information.md.",
        ],
        pictures={runs.name: draw_information(found)},
        least_spread=0,
    )


def measure_information(
    module: NestedLightningModule, images: Tensor, seed: int = 0, steps: int = 3000
) -> dict[str, Any]:
    """Estimate I(F, G), I(F, H) and their difference, Delta of Eq. 6 and 7.

    F is the backbone's deepest feature, after the last pooling of :class:`~nested_lightning.models.UNetEncoder`; H is
    the map of the coarsest bottleneck and G that of the next, both before their global average pooling. Each is
    averaged to 2x2 and flattened. Half of ``images [N, C, H, W]`` train the estimator, the other half are measured.

    Returns:
        ``FG`` and ``FH``, each with the ``nats``, ``steps`` and ``history`` of
        :class:`~benchmarks.paper.mine.InformationEstimate`; ``delta`` in nats; ``rows`` (images) and ``pooled``.

    Raises:
        ConfigurationError: a feature is not a map.
    """
    f, h, g = _pool_maps(module, images)
    fg, fh = (estimate_information(f, z, steps, seed=seed)._asdict() for z in (g, h))
    return {"FG": fg, "FH": fh, "delta": fg["nats"] - fh["nats"], "rows": len(images), "pooled": POOLED}


@torch.no_grad()
def _pool_maps(module: NestedLightningModule, images: Tensor) -> list[Tensor]:
    """Return the pooled maps F, H, G, ``[N, channels * POOLED * POOLED]``."""
    network = module.network
    pooled: tuple[list[Tensor], ...] = ([], [], [])
    with ExitStack() as hooks:
        for part, of_part in zip((network.backbone, *network.bottlenecks[:2]), pooled, strict=True):
            hooks.enter_context(part.register_forward_hook(partial(_pool, of_part)))
        for batch in images.split(500):
            network(batch, up_to=1)
    return [torch.cat(of_part) for of_part in pooled]


def _pool(pooled: list[Tensor], part: nn.Module, inputs: Any, output: Any) -> None:
    # The last of several features is the deepest; the second of a bottleneck's pair is the one its head sees.
    deepest = output if isinstance(output, Tensor) else output[-1]
    if deepest.ndim != 4:
        raise ConfigurationError(
            f"Figure 4 pools maps [batch, channels, height, width], but {type(part).__name__} returned "
            f"{list(deepest.shape)}: use a run of UNetEncoder and ConvBottleneck"
        )
    pooled.append(adaptive_avg_pool2d(deepest, POOLED).flatten(1))


def draw_information(estimates: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw I(F, G) and I(F, H) of each variant over the steps: the mean over seeds, and a band that contains all."""
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
