"""Dense blocks and the encoder made of them, the backbone for CIFAR-100 (C.1, Fig. C.3)."""

import torch
from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.checks import positive_integers
from nested_lightning.models.layers import BatchNorm2d


class DenseBlock(nn.Module):
    """Layers that each see the maps of all layers before them, in the form with bottlenecks (DenseNet-BC).

    A layer is batch normalisation, ReLU, 1x1 convolution to ``4 * growth`` channels, and the same once more with a
    3x3 convolution to ``growth`` channels, which are appended to what it saw. Convolutions need no bias, because every
    map meets a batch normalisation before it is used.

    Args:
        in_channels: channels of the input.
        layers: number of layers.
        growth: channels that each layer adds.

    Attributes:
        out_channels: ``in_channels + layers * growth``.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: ``[B, out_channels, H, W]``; the first channels are the input as it was

    Example:
        >>> DenseBlock(in_channels=5, layers=3, growth=2)(torch.rand(2, 5, 7, 6)).shape
        torch.Size([2, 11, 7, 6])
    """

    def __init__(self, in_channels: int, layers: int = 12, growth: int = 12) -> None:
        super().__init__()
        self.out_channels = in_channels + layers * growth
        self.layers = nn.ModuleList(_layer(width, growth) for width in range(in_channels, self.out_channels, growth))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and the maps of all layers, ``[B, out_channels, H, W]``."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseNetEncoder(nn.Module):
    """The first part of a DenseNet-BC for small images: dense blocks, each followed by a transition.

    A 3x3 convolution to ``2 * growth`` channels comes first. A transition halves the channels (compression 0.5) by
    a 1x1 convolution and both sides by averaging 2x2 squares; sizes are rounded up, so that any height and width
    will do. Together with one :class:`~nested_lightning.models.DenseBlockBottleneck` per level it is the network
    of Fig. C.3: level 0 is the third block of a DenseNet with three.

    Args:
        in_channels: channels of the images.
        blocks: number of dense blocks.
        layers: layers per block.
        growth: channels that each layer adds.

    Attributes:
        out_channels: channels of the features, from shallow to deep.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: the map of each block, from shallow to deep, and last what the last transition makes of it. By
          default ``[B, 168, H, W]``, ``[B, 228, H/2, W/2]``, ``[B, 114, H/4, W/4]``

    Raises:
        ConfigurationError: an argument is not a positive integer, or an input does not have ``in_channels``
            channels.

    Example:
        >>> encoder = DenseNetEncoder(in_channels=1, layers=2, growth=4)
        >>> [list(feature.shape) for feature in encoder(torch.rand(2, 1, 8, 10))]
        [[2, 16, 8, 10], [2, 16, 4, 5], [2, 8, 2, 3]]
        >>> DenseNetEncoder().out_channels
        (168, 228, 114)
    """

    def __init__(self, in_channels: int = 3, blocks: int = 2, layers: int = 12, growth: int = 12) -> None:
        super().__init__()
        for name, value in {"in_channels": in_channels, "blocks": blocks, "layers": layers, "growth": growth}.items():
            positive_integers(name, value)
        self.in_channels = in_channels
        width = 2 * growth
        self.first = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        widths = []
        for _ in range(blocks):
            block = DenseBlock(width, layers, growth)
            width = block.out_channels // 2
            self.blocks.append(block)
            self.transitions.append(_transition(block.out_channels, width))
            widths.append(block.out_channels)
        self.out_channels = (*widths, width)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features from shallow to deep."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ConfigurationError(
                f"DenseNetEncoder expects images [batch, {self.in_channels}, height, width], got an input of shape "
                f"{list(images.shape)}. Set `in_channels` to the number of channels of the images."
            )
        # Nearly half as fast again with the channels last (see UNetEncoder), and appending channels keeps that layout.
        x = self.first(images.clone(memory_format=torch.channels_last))
        features = []
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            features.append(block(x))
            x = transition(features[-1])
        return [*features, x]


def _layer(in_channels: int, growth: int) -> nn.Sequential:
    return nn.Sequential(
        BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, 4 * growth, 1, bias=False),
        BatchNorm2d(4 * growth),
        nn.ReLU(inplace=True),
        nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
    )


def _transition(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, channels, 1, bias=False),
        nn.AvgPool2d(2, ceil_mode=True),
    )
