"""Keep checkpoints to plain Python values, which load without running code."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch.core.mixins import hparams_mixin

T = TypeVar("T")


def plain(value: T, tensors: bool = True) -> T:
    """Return ``value`` with numbers and arrays of NumPy, also within lists and dicts, as Python numbers and lists.

    Args:
        value: anything; what is not from NumPy stays as it is.
        tensors: whether tensors become numbers and lists, too.

    Example:
        >>> plain([np.float64(0.2), np.arange(2), {"seed": torch.tensor(3)}, None])
        [0.2, [0, 1], {'seed': 3}, None]
    """
    found: Any = value
    if isinstance(found, (np.generic, np.ndarray)) or (tensors and isinstance(found, torch.Tensor)):
        found = found.tolist()
    elif type(found) is dict:
        found = {plain(key, tensors): plain(item, tensors) for key, item in found.items()}
    elif type(found) in (list, tuple):
        found = type(found)(plain(item, tensors) for item in found)
    return found  # type: ignore[no-any-return]


def is_plain(value: Any) -> bool:
    """Return whether ``value`` consists only of str, int, float, bool, None and lists and dicts of these."""
    if isinstance(value, Mapping):
        return type(value) is dict and all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def not_plain(arguments: Mapping[str, Any]) -> list[str]:
    """Return the names of ``__init__`` arguments that ``save_hyperparameters`` has to ignore.

    On the command line there are none: Lightning then stores the plain configuration instead of the objects.
    """
    if hparams_mixin._given_hyperparameters.get() is not None:
        return []
    return [name for name, value in arguments.items() if not is_plain(value)]


def keep_plain(checkpoint: dict[str, Any], *keys: str) -> None:
    """Remove from ``checkpoint[key]``, for each key, values that are not plain (arguments added by subclasses)."""
    for key in keys:
        if key in checkpoint:
            checkpoint[key] = {name: value for name, value in checkpoint[key].items() if is_plain(value)}
