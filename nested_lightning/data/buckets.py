"""Batches of texts of like length: less padding, hence less to compute."""

import torch
from torch import Tensor

_BATCHES = 50
"""Batches that are sorted together; more would make an epoch's batches more alike from epoch to epoch."""


def near_lengths(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Rearrange a random order so that every batch taken from it has rows of like length, the batches in random order.

    The last batch, which may be smaller, stays the last.

    Args:
        order: ``LongTensor[N]``, a random order of row numbers.
        lengths: ``LongTensor``, the length of each row.
        batch_size: rows in a batch over all processes.
        generator: the only source of randomness.

    Returns:
        ``LongTensor[N]``, the same row numbers.

    Example:
        >>> lengths = torch.tensor([9, 1, 8, 2, 7])
        >>> order = near_lengths(torch.arange(5), lengths, 2, torch.Generator().manual_seed(0))
        >>> [lengths[rows].tolist() for rows in order.split(2)]
        [[1, 2], [7, 8], [9]]
    """
    windows = order.split(_BATCHES * batch_size)
    batches = torch.cat([window[lengths[window].argsort(stable=True)] for window in windows]).split(batch_size)
    full = [batch for batch in batches if len(batch) == batch_size]
    shuffled = [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
    return torch.cat([*shuffled, *batches[len(full) :]])
