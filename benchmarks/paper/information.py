"""How much a run's bottlenecks know of the backbone's deepest feature (E.3, Figure 4)."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from benchmarks.paper.mine import mutual_information
from nested_lightning import NestedLightningModule
from nested_lightning.errors import ConfigurationError

POOLED = 2
"""Height and width to which every map is averaged; the paper pools, too, but does not say how far."""


def evaluate_information(
    module: NestedLightningModule, images: Tensor, seed: int = 0, steps: int = 3000
) -> dict[str, Any]:
    """Estimate I(F, G), I(F, H) and their difference, Delta of Eq. 6 and 7.

    F is the backbone's deepest feature, that behind the last pooling of :class:`~nested_lightning.models.UNetEncoder`;
    H is the map of the coarsest bottleneck, G that of the next, both before their global average pooling. Each is
    averaged to 2x2 and flattened.

    Args:
        module: in evaluation mode, with backbone and bottlenecks that give maps.
        images: ``[N, C, H, W]``; half of them train the estimator, the other half are measured.
        seed: of the estimator.
        steps: of the estimator.

    Returns:
        ``FG`` and ``FH``, each with ``nats``, ``steps`` and ``history`` as
        :class:`~benchmarks.paper.mine.InformationEstimate` has them; ``delta`` in nats; ``rows`` and ``pooled``.

    Raises:
        ConfigurationError: a feature is no map.
    """
    f, h, g = _maps(module, images)
    fg, fh = (mutual_information(f, z, steps, seed=seed)._asdict() for z in (g, h))
    return {"FG": fg, "FH": fh, "delta": fg["nats"] - fh["nats"], "rows": len(images), "pooled": POOLED}


@torch.no_grad()
def _maps(module: NestedLightningModule, images: Tensor) -> list[Tensor]:
    """Return the pooled maps F, H, G, ``[N, channels * POOLED * POOLED]``."""
    network = module.network
    seen: tuple[list[Tensor], ...] = ([], [], [])
    with ExitStack() as hooks:
        for part, kept in zip((network.backbone, *network.bottlenecks[:2]), seen, strict=True):
            hooks.enter_context(part.register_forward_hook(partial(_keep, kept)))
        for batch in images.split(500):
            network(batch, up_to=1)
    return [torch.cat(kept) for kept in seen]


def _keep(kept: list[Tensor], part: nn.Module, inputs: Any, output: Any) -> None:
    # Of several features the last is the deepest; of a pair that a bottleneck gives, the second is what its head sees.
    deepest = output if isinstance(output, Tensor) else output[-1]
    if deepest.ndim != 4:
        raise ConfigurationError(
            f"Figure 4 pools maps [batch, channels, height, width], but {type(part).__name__} gave "
            f"{list(deepest.shape)}: give a run of UNetEncoder and ConvBottleneck"
        )
    kept.append(adaptive_avg_pool2d(deepest, POOLED).flatten(1))
