"""The n-grams of token ids: numbered without collisions, counted, weighted."""

import torch
from torch import Tensor

NONE = -1
"""Stands where an n-gram would reach beyond the end of its text."""


def n_gram_keys(tokens: Tensor, n_tokens: int, longest: int) -> Tensor:
    """Return a number for every n-gram of 1 to ``longest`` tokens, different for different n-grams.

    The tokens of an n-gram are the digits of its number to the base ``n_tokens + 1``.

    Args:
        tokens: ``int64[B, L]`` in 0 to ``n_tokens - 1``, -1 behind the end of a text.
        n_tokens: how many different tokens there are; ``(n_tokens + 1) ** longest`` must be below 2^63.
        longest: tokens of the longest n-grams.

    Returns:
        ``int64[B, G]``, -1 where there is no n-gram.

    Example:
        >>> n_gram_keys(torch.tensor([[3, 1, -1]]), n_tokens=9, longest=2)
        tensor([[ 4,  2, -1, 42, -1]])
    """
    digits = tokens + 1
    keys, result = digits, []
    for n in range(1, longest + 1):
        if n > 1:
            keys = torch.where(digits[:, n - 1 :] > 0, keys[:, :-1] * (n_tokens + 1) + digits[:, n - 1 :], 0)
        result.append(torch.where(keys > 0, keys, NONE))
    return torch.cat(result, dim=1)


def term_frequencies(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys of each row in ascending order, and how often each occurs in its row.

    Args:
        keys: ``int64[B, G]``, negative where there is none.

    Returns:
        ``int64[B, G]`` sorted, and ``float32[B, G]``: the frequency at the first of equal keys, 0 at the others and
        at negative ones.

    Example:
        >>> term_frequencies(torch.tensor([[7, -1, 5, 7]]))
        (tensor([[-1,  5,  7,  7]]), tensor([[0., 1., 2., 0.]]))
    """
    keys = keys.sort(dim=1).values
    first = torch.ones_like(keys, dtype=torch.bool)
    first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    group = first.cumsum(1) - 1
    counts = torch.zeros(keys.shape, device=keys.device).scatter_add_(1, group, torch.ones_like(keys).float())
    return keys, torch.where(first & (keys >= 0), counts.gather(1, group), 0.0)
