"""What a backbone says about its features, and whether it keeps its word."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError


def announced_channels(backbone: nn.Module) -> int | Sequence[int]:
    """Return the channels of a backbone's features, as it announces them itself.

    In this order: its attribute ``out_channels``; ``feature_info.channels()``, as timm's models with
    ``features_only=True`` have it; ``num_features``, as timm's models without a classifier have it.

    Raises:
        ConfigurationError: it has none of them.

    Example:
        >>> announced_channels(nn.Conv2d(3, 8, kernel_size=5))
        8
    """
    info: Any = getattr(backbone, "feature_info", None)
    channels: int | Sequence[int] | None = getattr(backbone, "out_channels", None)
    if channels is None and hasattr(info, "channels"):
        channels = info.channels()
    if channels is None:
        channels = getattr(backbone, "num_features", None)
    if channels is None:
        raise ConfigurationError(
            f"The backbone {type(backbone).__name__} does not say how many channels its features have. Pass "
            "`feature_channels=[...]`, one number per feature from shallow to deep, or give it an attribute "
            "`out_channels`."
        )
    return channels


def checked_features(backbone: nn.Module, output: object, channels: tuple[int, ...]) -> list[Tensor]:
    """Return what ``backbone`` gave as a list of features ``[B, C, ...]`` with the announced ``channels``.

    Raises:
        ConfigurationError: it is neither a tensor nor a list or tuple of them, or not with these channels.
    """
    name = type(backbone).__name__
    given = list(output) if isinstance(output, (list, tuple)) else [output]
    features = [feature for feature in given if isinstance(feature, Tensor) and feature.ndim >= 2]
    if len(features) < len(given):
        raise ConfigurationError(
            f"The backbone {name} must give one tensor [batch, channels, ...] or a list of them, got "
            f"{_describe(output)}. Wrap it in a module that returns its features like this."
        )
    got = [feature.shape[1] for feature in features]
    if got != list(channels):
        raise ConfigurationError(
            f"The backbone {name} was expected to give {len(channels)} feature(s) with {list(channels)} channels "
            f"(dimension 1), but gave {len(got)} with {got}. If these are its features, pass "
            f"`feature_channels={got}`; if they are a classifier's output, remove the classifier."
        )
    return features


def _describe(output: object) -> str:
    if isinstance(output, (list, tuple)):
        return f"{type(output).__name__}({', '.join(map(_describe, output))})"
    return f"Tensor of shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
