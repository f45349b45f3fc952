"""A small network whose predictions for random images differ, for attacks to change."""

from typing import Any

import torch
from torch import Tensor, nn

from helpers.toy import TAXONOMY, toy_module
from nested_lightning import NestedLightningModule


def attacked_network(**options: Any) -> tuple[NestedLightningModule, Tensor, Tensor]:
    """Return a network, images [30, 6] in [0, 1], and targets: its own predictions except for the last three."""
    torch.manual_seed(3)
    backbone = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1))
    module = toy_module(backbone=backbone, feature_channels=16, bottleneck_channels=8, **options)
    images = torch.rand(30, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        backbone[0].running_mean.copy_(images.mean(dim=0))
        backbone[0].running_var.copy_(images.var(dim=0))
    leaf = module.eval().predict(images).probabilities[2].argmax(dim=1)
    leaf[-3:] = (leaf[-3:] + 1) % 5
    return module, images, TAXONOMY.lift(leaf, 2)
