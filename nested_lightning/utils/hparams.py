"""Keep checkpoints to plain Python values, which load without running code."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.core.mixins import hparams_mixin


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
