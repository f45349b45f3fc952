"""The usual multi-task network, to compare with (E.2, Fig. E.1): one trunk, and parallel branches."""

from collections.abc import Sequence

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.bottlenecks import DenseBottleneck
from nested_lightning.models.unet import UNetEncoder


class ConvEncoder(nn.Module):
    """Blocks of two convolutions and a pooling, of which only the last map is given out.

    With one :class:`ParallelBottleneck` per level it is the network of Fig. E.1, whose trunk ends in 64 channels.

    Args:
        in_channels: channels of the images.
        channels: channels of each block.
        dropout: as in :class:`~nested_lightning.models.UNetEncoder`.

    Attributes:
        out_channels: channels of the last block.

    Shape:
        - input: ``[B, in_channels, H, W]``
        - output: ``[B, channels[-1], H / 2**n, W / 2**n]`` for n blocks, sizes rounded up

    Example:
        >>> import torch
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
        ConfigurationError: skip connections are off, so that a branch would see nothing at all.

    Example:
        >>> import torch
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
        """Return the level's embedding before normalisation, ``[B, channels]``."""
        return super().forward(None, skip)
