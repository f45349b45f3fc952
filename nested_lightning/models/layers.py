"""The layers the bottlenecks and the U-Net are made of.

The paper puts batch normalisation behind every convolution (C.1). The authors' settings, in PyTorch's terms,
are a momentum of 0.01 and an epsilon of 1e-3.
"""

from torch import Tensor, nn
from torch.nn.functional import batch_norm

MOMENTUM = 0.01
EPS = 1e-3


class _RunningStatisticsIfAlone(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation that does not fail on a batch with a single value per channel."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=EPS, momentum=MOMENTUM)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == self.num_features:
            return batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class BatchNorm1d(_RunningStatisticsIfAlone, nn.BatchNorm1d):
    """Batch normalisation of vectors ``[B, C]`` or sequences ``[B, C, L]``.

    One value per channel (the last batch of an epoch may hold a single row) has no variance. PyTorch refuses it
    in training mode; here such a batch is normalised with the running statistics and leaves them as they are.

    Args:
        num_features: channels C.
    """


class BatchNorm2d(_RunningStatisticsIfAlone, nn.BatchNorm2d):
    """Batch normalisation of maps ``[B, C, H, W]``; a single value per channel as in :class:`BatchNorm1d`.

    Args:
        num_features: channels C.
    """


def double_convolution(in_channels: int, channels: int, kernel_size: int = 3) -> nn.Sequential:
    """Return two times convolution, batch normalisation, ReLU (the U-Net's block, Fig. C.1).

    The resolution does not change: ``[B, in_channels, H, W]`` becomes ``[B, channels, H, W]``.

    Example:
        >>> import torch
        >>> double_convolution(3, 8)(torch.zeros(2, 3, 5, 7)).shape
        torch.Size([2, 8, 5, 7])
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, padding="same", bias=False),
        BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size, padding="same", bias=False),
        BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
