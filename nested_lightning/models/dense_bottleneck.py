"""The bottleneck of the nested DenseNet: upsampling and a dense block (C.1, Fig. C.3)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.densenet import DenseBlock
from nested_lightning.models.layers import BatchNorm2d


class DenseBlockBottleneck(nn.Module):
    """Bottleneck of images: a dense block over the upsampled coarser level and the skip connection (Fig. C.3).

    ``previous`` is doubled in size by a learned 3x3 convolution (transposed, stride 2), concatenated with ``skip``
    and passed through a dense block, batch normalisation and ReLU. At level 0 there is nothing to upsample, and it
    is the last block of a classic DenseNet. Where ``skip`` is not twice as large as ``previous``, nearest
    neighbours do the rest.

    The paper does not say how it upsamples. The learned convolution is what makes Table C.1's 1.5e6 parameters for
    CIFAR-100: the network has 1,548,206 with it, and 949,130 if pixels were only repeated.

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
        ConfigurationError: ``channels`` is another number, or the backbone does not give maps with two spatial
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
        self.upsample = _doubling(previous_channels) if previous_channels else None
        self.last = nn.Sequential(BatchNorm2d(channels), nn.ReLU(inplace=True))

    def forward(self, previous: Tensor | None, skip: Tensor) -> Tensor:
        """Return the level's map ``[B, channels, H, W]``, at the resolution of ``skip``."""
        if skip.ndim != 4:
            raise ConfigurationError(
                "DenseBlockBottleneck needs maps [batch, channels, height, width], but the backbone gave a feature "
                f"of shape {list(skip.shape)}. Use `bottleneck: nested_lightning.models.DenseBottleneck` with this "
                "backbone."
            )
        if previous is not None and self.upsample is not None:
            doubled = self.upsample(previous)
            if doubled.shape[2:] != skip.shape[2:]:
                doubled = interpolate(doubled, size=skip.shape[2:])
            skip = torch.cat([doubled, skip], dim=1)
        result: Tensor = self.last(self.block(skip))
        return result


def _doubling(channels: int) -> nn.ConvTranspose2d:
    """Return the transposed convolution whose paddings make a map exactly twice as large."""
    return nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1, bias=False)
