"""A cache of the vectors that frozen backbones compute from texts."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class TextCache:
    """Keep the vectors of all texts that a frozen backbone has seen, in main memory: texts * channels * 4 bytes.

    Args:
        backbone: clears the cache when its weights are loaded.

    Example:
        >>> cache = TextCache(nn.Identity())
        >>> cache(torch.tensor([[1, 2], [3, -1]]), lambda tokens: tokens.clamp(min=0).float())
        tensor([[1., 2.],
                [3., 0.]])
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._vectors: dict[bytes, Tensor] = {}
        backbone.register_load_state_dict_pre_hook(self._before_loading)

    def __len__(self) -> int:
        return len(self._vectors)

    def clear(self) -> None:
        """Forget all vectors, because the backbone has changed."""
        self._vectors.clear()

    def _before_loading(self, backbone: nn.Module, state: Mapping[str, Any], prefix: str, *_: object) -> None:
        if any(name.startswith(prefix) for name in state):
            self.clear()

    @torch.no_grad()
    def __call__(self, tokens: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the texts' vectors ``[B, channels]``, encoding only those that are new."""
        keys = [hashlib.blake2b(row[row >= 0].numpy().tobytes(), digest_size=16).digest() for row in tokens.cpu()]
        new = [i for i, key in enumerate(keys) if key not in self._vectors]
        if new:
            self._vectors.update(zip([keys[i] for i in new], encode(tokens[new]).cpu(), strict=True))
        return torch.stack([self._vectors[key] for key in keys]).to(tokens.device)
