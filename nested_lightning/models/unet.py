"""The encoder of the paper's U-Net (C.1, Fig. C.1), and the multi-task network to compare with (E.2, Fig. E.1)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.bottlenecks import DenseBottleneck
from nested_lightning.models.layers import check_images, double_convolution, positive_integers


class UNetEncoder(nn.Module):
    """Blocks of two convolutions, each followed by a 2x2 max pooling.

    Together with one :class:`~nested_lightning.models.ConvBottleneck` per level it is the paper's nested U-Net: level 0
    is the block at the bottom, after the last pooling; level 1 the first decoder block, level 2 the next. Pooling
    rounds sizes up, so any height and width will do.

    Args:
        in_channels: channels of the images.
        channels: channels of each block, from shallow to deep.
        dropout: probability of zeroing a value after the last two blocks (the authors use 0.25 for MNIST, 0.3 for
            CIFAR-10). The batch normalisation after it learns a variance and maxima that only occur in training: on
            10,000 samples of CIFAR-10 0.3 cost 5 to 9 points in each of the first three epochs.

    Attributes:
        out_channels: channels of the features, from shallow to deep.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: the map of each block, from shallow to deep, and last the pooled map of the last block (the feature
          map after the last pooling, E.3). For two blocks: ``[B, c1, H, W]``, ``[B, c2, H/2, W/2]``,
          ``[B, c2, H/4, W/4]``

    Raises:
        ConfigurationError: an argument is out of range, or an input does not have ``in_channels`` channels.

    Example:
        >>> encoder = UNetEncoder(in_channels=1, channels=(8, 16))
        >>> [list(feature.shape) for feature in encoder(torch.rand(2, 1, 28, 28))]
        [[2, 8, 28, 28], [2, 16, 14, 14], [2, 16, 7, 7]]
        >>> encoder.out_channels
        (8, 16, 16)
    """

    def __init__(self, in_channels: int = 1, channels: Sequence[int] = (16, 32), dropout: float = 0.0) -> None:
        super().__init__()
        widths = positive_integers("in_channels", in_channels) + positive_integers("channels", channels)
        if not 0 <= dropout < 1:
            raise ConfigurationError(f"`dropout` must be at least 0 and below 1, got {dropout}.")
        self.in_channels = in_channels
        self.out_channels = (*widths[1:], widths[-1])
        blocks = [double_convolution(before, after) for before, after in pairwise(widths)]
        for block in blocks[-2:]:
            block.append(nn.Dropout(dropout))
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the features from shallow to deep."""
        check_images("UNetEncoder", images, self.in_channels)
        # Convolutions on CPUs are 10 to 30 % faster with the channels last, and all layers after them keep that layout.
        # clone, because contiguous does nothing to images with a single channel.
        x = images.clone(memory_format=torch.channels_last)
        features = []
        for block in self.blocks:
            features.append(block(x))
            x = self.pool(features[-1])
        return [*features, x]


class ConvEncoder(nn.Module):
    """The trunk of the multi-task network: the last feature of a :class:`UNetEncoder` alone.

    With one :class:`ParallelBottleneck` per level it is the network of Fig. E.1, whose trunk ends in 64 channels.

    Args:
        in_channels: channels of the images.
        channels: channels of each block.
        dropout: as in :class:`UNetEncoder`.

    Attributes:
        out_channels: channels of the last block.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: ``[B, channels[-1], H / 2**n, W / 2**n]`` for n blocks, sizes rounded up

    Example:
        >>> ConvEncoder(1, (8, 16, 64))(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 64, 4, 4])
    """

    def __init__(self, in_channels: int = 1, channels: Sequence[int] = (8, 16, 64), dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = UNetEncoder(in_channels, channels, dropout)
        self.out_channels = self.encoder.out_channels[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Return the last map."""
        last: Tensor = self.encoder(images)[-1]
        return last


class ParallelBottleneck(DenseBottleneck):
    """Branch of a multi-task network: sees the trunk and nothing of the coarser levels.

    Args:
        previous_channels: not used.
        skip_channels: channels of the trunk's feature.
        channels: channels of the result.
        dropout: as in :class:`~nested_lightning.models.DenseBottleneck`.

    Raises:
        ConfigurationError: skip connections are off, so a branch would see nothing at all.

    Example:
        >>> branch = ParallelBottleneck(previous_channels=16, skip_channels=64, channels=16)
        >>> branch(torch.rand(2, 16), torch.rand(2, 64, 4, 4)).shape
        torch.Size([2, 16])
    """

    def __init__(self, previous_channels: int, skip_channels: int, channels: int, dropout: float = 0.0) -> None:
        if not skip_channels:
            raise ConfigurationError(
                "ParallelBottleneck sees nothing without skip connections: set model.skip_connections to true"
            )
        super().__init__(0, skip_channels, channels, dropout)

    def forward(self, previous: Tensor | None, skip: Tensor) -> Tensor:
        """Return the level's embedding ``[B, channels]`` before L2 normalisation; ``previous`` is ignored."""
        return super().forward(None, skip)
