"""The bottlenecks between a level's features and its head (Sec. 4.1, Fig. 3).

A bottleneck is any ``nn.Module`` that

* is built as ``bottleneck(previous_channels, skip_channels, channels)``, 0 for an input without channels, and
* is called as ``block(previous, skip)`` and returns ``[B, channels, ...]``; or, if it has an attribute
  ``map_channels``, a pair: a map ``[B, map_channels, ...]`` for the next level, and ``[B, channels, ...]`` for its own
  head.

``previous`` is the map of the next coarser level's bottleneck, None at level 0. ``skip`` is a feature of the backbone:
the deepest one at level 0, a shallower one at each finer level. Without skip connections the finer levels get a
``skip`` with 0 channels. It carries no information about the input but the resolution that the map must have, so the
network is otherwise the same with and without skip connections.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.layers import RobustBatchNorm, double_convolution, global_average

Bottleneck = Callable[[int, int, int], nn.Module]
"""Builds a bottleneck from ``(previous_channels, skip_channels, channels)``."""


class DenseBottleneck(nn.Module):
    """Bottleneck of vectors: pooling, concatenation, linear layer, batch normalisation, ReLU, dropout.

    Works with any backbone, whether it gives vectors or maps with any number of spatial dimensions.

    Args:
        previous_channels: channels of the coarser level's bottleneck; 0 at level 0.
        skip_channels: channels of the backbone's feature; 0 without a skip connection.
        channels: channels of the result.
        dropout: probability of zeroing a value of the result in training.

    Shape:
        - previous: ``[B, previous_channels, ...]`` or None
        - skip: ``[B, skip_channels, ...]``
        - output: ``[B, channels]``

    Example:
        >>> block = DenseBottleneck(previous_channels=4, skip_channels=6, channels=5)
        >>> block(torch.rand(2, 4), torch.rand(2, 6, 7, 7)).shape
        torch.Size([2, 5])
    """

    def __init__(self, previous_channels: int, skip_channels: int, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Linear(previous_channels + skip_channels, channels, bias=False),
            RobustBatchNorm(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )

    def forward(self, previous: Tensor | None, skip: Tensor) -> Tensor:
        """Return the level's embedding ``[B, channels]`` before L2 normalisation."""
        inputs = [global_average(features) for features in (previous, skip) if features is not None]
        result: Tensor = self.block(torch.cat(inputs, dim=1))
        return result


class ConvBottleneck(nn.Module):
    """Bottleneck of images: a decoder block of the U-Net (Fig. C.1).

    ``previous`` is resized to the resolution of ``skip`` (nearest neighbour) and concatenated with it; then twice
    convolution, batch normalisation, ReLU. At level 0 it is the U-Net's block at the bottom.

    Args:
        previous_channels: channels of the coarser level's bottleneck; 0 at level 0.
        skip_channels: channels of the backbone's feature; 0 without a skip connection.
        channels: channels of the result.
        kernel_size: of both convolutions, in pixels.

    Shape:
        - previous: ``[B, previous_channels, h, w]`` or None
        - skip: ``[B, skip_channels, H, W]``
        - output: ``[B, channels, H, W]``

    Raises:
        ConfigurationError: the backbone does not give maps with two spatial dimensions.

    Example:
        >>> block = ConvBottleneck(previous_channels=4, skip_channels=6, channels=5)
        >>> block(torch.rand(2, 4, 4, 4), torch.rand(2, 6, 7, 7)).shape
        torch.Size([2, 5, 7, 7])
    """

    def __init__(self, previous_channels: int, skip_channels: int, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.block = double_convolution(previous_channels + skip_channels, channels, kernel_size)

    def forward(self, previous: Tensor | None, skip: Tensor) -> Tensor:
        """Return the level's map ``[B, channels, H, W]``, at the resolution of ``skip``."""
        check_maps("ConvBottleneck", skip)
        if previous is not None:
            skip = torch.cat([interpolate(previous, size=skip.shape[2:]), skip], dim=1)
        result: Tensor = self.block(skip)
        return result


def check_maps(name: str, feature: Tensor) -> None:
    """Raise ConfigurationError unless the feature that the bottleneck ``name`` got is a map ``[B, C, H, W]``."""
    if feature.ndim != 4:
        raise ConfigurationError(
            f"{name} needs maps [batch, channels, height, width], but the backbone gave a feature of shape "
            f"{list(feature.shape)}. Use `bottleneck: nested_lightning.models.DenseBottleneck` with this backbone."
        )
