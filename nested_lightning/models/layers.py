"""The layers that bottlenecks, heads and the U-Net are made of.

The paper puts batch normalisation behind every convolution (C.1). The epsilon is the authors'. Their momentum, 0.01 in
PyTorch's terms, suits long epochs only: a level known for 200 rows has 7 batches of 32 per epoch, and its running
statistics would still be the initial ones when early stopping gives up. 0.1 loses nothing on larger data.
"""

from torch import Tensor, nn
from torch.nn.functional import batch_norm

MOMENTUM = 0.1
EPS = 1e-3


class _RunningStatisticsIfAlone(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation that does not fail on a batch with a single value per channel."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=EPS, momentum=MOMENTUM)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == self.num_features:
            return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
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


def global_average(features: Tensor) -> Tensor:
    """Return the mean ``[B, C]`` of ``features`` ``[B, C, ...]`` over all dimensions behind the channels.

    Vectors ``[B, C]`` are returned as they are.

    Example:
        >>> import torch
        >>> global_average(torch.ones(2, 3, 4, 4)).shape, global_average(torch.ones(2, 3)).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)


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
