"""The nested DenseNet for CIFAR-100: dense blocks, and encoder and bottleneck made of them (C.1, Fig. C.3)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.bottlenecks import check_maps
from nested_lightning.models.layers import RobustBatchNorm, check_images, positive_integers


class DenseBlock(nn.Module):
    """Layers that each see the maps of all layers before them, in the form with bottlenecks (DenseNet-BC).

    A layer is batch normalisation, ReLU, 1x1 convolution to ``4 * growth`` channels, then the same with a 3x3
    convolution to ``growth`` channels, which are appended to the layer's input. Convolutions need no bias because every
    map meets a batch normalisation before it is used.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: ``[B, in_channels + layers * growth, H, W]``; the first channels are the unchanged input
    """

    def __init__(self, in_channels: int, layers: int = 12, growth: int = 12) -> None:
        super().__init__()
        self.out_channels = in_channels + layers * growth
        self.layers = nn.ModuleList(
            nn.Sequential(*_convolution(width, 4 * growth, 1), *_convolution(4 * growth, growth, 3))
            for width in range(in_channels, self.out_channels, growth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and the maps of all layers."""
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseNetEncoder(nn.Module):
    """The first part of a DenseNet-BC for small images: dense blocks, each followed by a transition.

    A 3x3 convolution to ``2 * growth`` channels comes first. A transition halves the channels (compression 0.5) by a
    1x1 convolution and both sides by averaging 2x2 squares; sizes are rounded up, so any height and width will do.
    Together with one :class:`DenseBlockBottleneck` per level it is the network of Fig. C.3: level 0 is the third block
    of a DenseNet with three.

    Args:
        in_channels: channels of the images.
        blocks: number of dense blocks.
        layers: layers per block.
        growth: channels that each layer adds.

    Attributes:
        out_channels: channels of the features, from shallow to deep.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: the map of each block, from shallow to deep, and last that of the last transition. By default
          ``[B, 168, H, W]``, ``[B, 228, H/2, W/2]``, ``[B, 114, H/4, W/4]``

    Raises:
        ConfigurationError: an argument is not a positive integer, or an input does not have ``in_channels`` channels.

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
            transition = nn.Sequential(*_convolution(block.out_channels, width, 1), nn.AvgPool2d(2, ceil_mode=True))
            self.blocks.append(block)
            self.transitions.append(transition)
            widths.append(block.out_channels)
        self.out_channels = (*widths, width)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features from shallow to deep."""
        check_images("DenseNetEncoder", images, self.in_channels)
        # Nearly 1.5 times as fast with the channels last (see UNetEncoder), and appending channels keeps that layout.
        x = self.first(images.clone(memory_format=torch.channels_last))
        features = []
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            features.append(block(x))
            x = transition(features[-1])
        return [*features, x]


class DenseBlockBottleneck(nn.Module):
    """Bottleneck of images: a dense block over the upsampled coarser level and the skip connection (Fig. C.3).

    ``previous`` is doubled in size by a learned 3x3 convolution (transposed, stride 2), concatenated with ``skip`` and
    passed through a dense block, batch normalisation and ReLU. At level 0 there is nothing to upsample, and it is the
    last block of a classic DenseNet. Where ``skip`` is not twice as large as ``previous``, nearest-neighbour
    interpolation makes up the difference.

    The paper does not say how it upsamples. The learned convolution yields Table C.1's 1.5e6 parameters for CIFAR-100:
    the network has 1,548,206 with it, and 949,130 if pixels are only repeated.

    Args:
        previous_channels: channels of the coarser level's bottleneck; 0 at level 0.
        skip_channels: channels of the backbone's feature; 0 without a skip connection.
        channels: channels of the result: ``previous_channels + skip_channels + layers * growth``.
        layers: layers of the dense block.
        growth: channels that each layer adds.

    Shape:
        - previous: ``[B, previous_channels, h, w]`` or None
        - skip: ``[B, skip_channels, H, W]``
        - output: ``[B, channels, H, W]``

    Raises:
        ConfigurationError: another number of ``channels``, or the backbone does not give maps with two spatial
            dimensions.

    Example:
        >>> block = DenseBlockBottleneck(previous_channels=4, skip_channels=6, channels=14, layers=2, growth=2)
        >>> block(torch.rand(2, 4, 4, 4), torch.rand(2, 6, 7, 8)).shape
        torch.Size([2, 14, 7, 8])
    """

    def __init__(
        self, previous_channels: int, skip_channels: int, channels: int, layers: int = 12, growth: int = 12
    ) -> None:
        super().__init__()
        self.block = DenseBlock(previous_channels + skip_channels, layers, growth)
        if channels != self.block.out_channels:
            raise ConfigurationError(
                f"DenseBlockBottleneck adds {layers} * {growth} channels to the {previous_channels} of the coarser "
                f"level and the {skip_channels} of the backbone's feature: `bottleneck_channels` must be "
                f"{self.block.out_channels} for this level, got {channels}."
            )
        self.upsample = None
        if previous_channels:  # with these paddings a map gets exactly twice as large
            self.upsample = nn.ConvTranspose2d(
                previous_channels, previous_channels, 3, stride=2, padding=1, output_padding=1, bias=False
            )
        self.last = nn.Sequential(RobustBatchNorm(channels), nn.ReLU(inplace=True))

    def forward(self, previous: Tensor | None, skip: Tensor) -> Tensor:
        """Return the level's map ``[B, channels, H, W]``, at the resolution of ``skip``."""
        check_maps("DenseBlockBottleneck", skip)
        if previous is not None and self.upsample is not None:
            doubled = self.upsample(previous)
            if doubled.shape[2:] != skip.shape[2:]:
                doubled = interpolate(doubled, size=skip.shape[2:])
            skip = torch.cat([doubled, skip], dim=1)
        result: Tensor = self.last(self.block(skip))
        return result


def _convolution(in_channels: int, channels: int, kernel_size: int) -> tuple[nn.Module, ...]:
    """Return batch normalisation, ReLU and a convolution that keeps the resolution."""
    convolution = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
    return RobustBatchNorm(in_channels), nn.ReLU(inplace=True), convolution
