"""Global average pooling over whatever spatial dimensions there are."""

from torch import Tensor


def global_average(features: Tensor) -> Tensor:
    """Return the mean ``[B, C]`` of ``features`` ``[B, C, ...]`` over all dimensions behind the channels.

    Vectors ``[B, C]`` are returned as they are.

    Example:
        >>> import torch
        >>> global_average(torch.ones(2, 3, 4, 4)).shape, global_average(torch.ones(2, 3)).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """
    return features if features.ndim == 2 else features.flatten(2).mean(dim=2)
