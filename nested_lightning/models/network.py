"""The nested network: a backbone, and per level a bottleneck and a head (Sec. 4.1, Fig. 3)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.bottlenecks import Bottleneck, DenseBottleneck
from nested_lightning.models.heads import BottleneckHead
from nested_lightning.models.layers import positive_integers


class NestedNetwork(nn.Module):
    """A backbone whose features pass through a chain of bottlenecks, one per level from coarse to fine.

    The bottleneck of level 0 sees the backbone's deepest feature. The bottleneck of each finer level sees the map of
    the bottleneck before it and, through a skip connection, the next shallower feature; when none is left, the
    shallowest again. A head turns each map into an embedding and logits. Levels beyond ``up_to`` are not run: they cost
    nothing, and their batch normalisation sees nothing.

    Args:
        backbone: any module that gives one feature ``[B, C, ...]`` or a list of them from shallow to deep.
        sizes: classes per level, from coarse to fine.
        bottleneck: builds the bottleneck of a level (contract: :mod:`nested_lightning.models.bottlenecks`).
        bottleneck_channels: size of the embeddings, one number for all levels or one per level.
        skip_connections: whether the finer levels see the backbone. Without, they form a Markov chain, and a finer
            level cannot know more than a coarser one; for comparison (Table 5).
        feature_channels: channels of the backbone's features, from shallow to deep. By default those that the backbone
            has in ``out_channels`` or, like timm's models, in ``feature_info`` or ``num_features``.

    Attributes:
        bottlenecks: one per level.
        heads: one :class:`~nested_lightning.models.BottleneckHead` per level.
        bottleneck_channels: size of the embedding per level.
        feature_channels: channels of the backbone's features.

    Raises:
        ConfigurationError: an argument cannot be used, a level does not exist, or the backbone or a bottleneck gives
            something else than it was built for.

    Example:
        >>> import torch
        >>> from nested_lightning.models import ConvBottleneck, UNetEncoder
        >>> network = NestedNetwork(UNetEncoder(1, (8, 16)), [2, 4, 10], ConvBottleneck, [32, 32, 16])
        >>> images = torch.rand(5, 1, 28, 28)
        >>> [list(logits.shape) for logits in network(images)]
        [[5, 3], [5, 5], [5, 11]]
        >>> [list(embedding.shape) for embedding in network.embed(images, up_to=1)]
        [[5, 32], [5, 32]]
    """

    def __init__(
        self,
        backbone: nn.Module,
        sizes: Sequence[int],
        bottleneck: Bottleneck = DenseBottleneck,
        bottleneck_channels: int | Sequence[int] = 64,
        skip_connections: bool = True,
        feature_channels: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.sizes = positive_integers("sizes", sizes)
        self.bottleneck_channels = _per_level(bottleneck_channels, len(self.sizes))
        self.feature_channels = positive_integers(
            "feature_channels", announced_channels(backbone) if feature_channels is None else feature_channels
        )
        self.skip_connections = skip_connections
        self.backbone = backbone
        self.bottlenecks = nn.ModuleList()
        previous = 0
        for level, channels in enumerate(self.bottleneck_channels):
            self.bottlenecks.append(bottleneck(previous, self._skip_channels(level), channels))
            previous = getattr(self.bottlenecks[-1], "map_channels", channels)
        heads = nn.ModuleList(map(BottleneckHead, self.bottleneck_channels, self.sizes))
        self.heads = cast("Sequence[BottleneckHead]", heads)  # ModuleList hides the type of its items

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the backbone's features ``[B, C, ...]``, from shallow to deep."""
        return checked_features(self.backbone, self.backbone(x), self.feature_channels)

    def embed(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        """Return the unit embeddings ``[B, bottleneck_channels[i]]`` of levels 0 to ``up_to`` (default: all)."""
        return [self.heads[level].embed(features) for level, features in enumerate(self._bottlenecked(x, up_to))]

    def forward(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        """Return the logits ``[B, sizes[i] + 1]`` of the levels 0 to ``up_to`` (default: all).

        The last column is the rejection logit: minus infinity until it is fitted.
        """
        return [self.heads[level](features) for level, features in enumerate(self._bottlenecked(x, up_to))]

    def fitted_buffers(self, prefix: str = "") -> set[str]:
        """Return the names of the buffers that ``fit_inputs`` of the backbone learns and training does not change."""
        return {f"{prefix}backbone.{name}" for name in getattr(self.backbone, "fitted_buffers", ())}

    def parts(self, level: int) -> list[nn.Module]:
        """Return the modules that start to train in the stage of ``level``.

        They are the level's bottleneck and head, and at level 0 also the backbone. Every parameter of the network
        belongs to the parts of exactly one level.
        """
        own = [self.bottlenecks[self._checked(level)], self.heads[level]]
        return own if level else [self.backbone, *own]

    def _bottlenecked(self, x: Tensor, up_to: int | None) -> Iterator[Tensor]:
        """Yield the input of each level's head, ``[B, bottleneck_channels[i], ...]``."""
        last = len(self.sizes) - 1 if up_to is None else self._checked(up_to)
        features, previous = self.features(x), None
        for level in range(last + 1):
            skip = features[self._feature(level)]
            if not self._skip_channels(level):
                skip = skip[:, :0].detach()
            bottleneck = self.bottlenecks[level]
            result = bottleneck(previous, skip)
            previous, seen = result if isinstance(result, tuple) else (result, result)
            if seen.shape[1] != self.bottleneck_channels[level]:
                raise ConfigurationError(
                    f"The bottleneck {type(bottleneck).__name__} of level {level} was built for "
                    f"{self.bottleneck_channels[level]} channels, but gave a map of shape {list(seen.shape)}, "
                    f"which has {seen.shape[1]} (dimension 1)."
                )
            yield seen

    def _feature(self, level: int) -> int:
        """Return the index of the feature that ``level`` sees: from the deepest back to the shallowest."""
        return max(len(self.feature_channels) - 1 - level, 0)

    def _skip_channels(self, level: int) -> int:
        return self.feature_channels[self._feature(level)] if self.skip_connections or level == 0 else 0

    def _checked(self, level: int) -> int:
        if not 0 <= level < len(self.sizes):
            raise ConfigurationError(
                f"There is no level {level}: the levels are 0 (coarsest) to {len(self.sizes) - 1} (finest)."
            )
        return level


def announced_channels(backbone: nn.Module) -> int | Sequence[int]:
    """Return the channels of a backbone's features according to its attributes.

    In this order: ``out_channels``; ``feature_info.channels()``, as in timm's models with ``features_only=True``;
    ``num_features``, as in timm's models without a classifier. Raises ConfigurationError if it has none of them.
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
    """Check the channels of a backbone's output and return it as a list of features ``[B, C, ...]``.

    Raises ConfigurationError unless it is a tensor or a list, tuple or dict of them, with these ``channels``.
    """
    name = type(backbone).__name__
    given = list(output) if isinstance(output, (list, tuple)) else [output]
    if isinstance(output, Mapping):  # from torchvision's create_feature_extractor
        given = list(output.values())
    features = [feature for feature in given if isinstance(feature, Tensor) and feature.ndim >= 2]
    if len(features) < len(given):
        raise ConfigurationError(
            f"The backbone {name} must give one tensor [batch, channels, ...], or a list or dict of them, got "
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


def _per_level(bottleneck_channels: int | Sequence[int], n_levels: int) -> tuple[int, ...]:
    channels = positive_integers("bottleneck_channels", bottleneck_channels)
    if not isinstance(bottleneck_channels, Sequence):
        return channels * n_levels
    if len(channels) != n_levels:
        raise ConfigurationError(
            f"`bottleneck_channels` must be one number or one per level: there are {n_levels} levels, got "
            f"{len(channels)} numbers, {list(channels)}."
        )
    return channels
