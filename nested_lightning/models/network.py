"""The nested network: a backbone, and per level a bottleneck and a head (Sec. 4.1, Fig. 3)."""

from collections.abc import Iterator, Sequence
from typing import cast

from torch import Tensor, nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.bottlenecks import Bottleneck, DenseBottleneck
from nested_lightning.models.checks import positive_integers
from nested_lightning.models.heads import BottleneckHead


class NestedNetwork(nn.Module):
    """A backbone whose features pass a sequence of bottlenecks, one per level from coarse to fine.

    The bottleneck of level 0 sees the backbone's deepest feature. The bottleneck of each finer level sees the map
    of the bottleneck before it and, through a skip connection, the next shallower feature; when there is none left,
    the shallowest once more. A head turns each map into an embedding and logits. Nothing flows back from a fine level
    to a coarser one, and levels beyond ``up_to`` are not run: they cost nothing and their batch normalisation sees
    nothing.

    Args:
        backbone: any module that gives one feature tensor ``[B, C, ...]`` or a list of them from shallow to deep.
        sizes: classes per level, from coarse to fine.
        bottleneck: builds the bottleneck of a level (:mod:`nested_lightning.models.bottlenecks`).
        bottleneck_channels: size of the embeddings, one for all levels or one per level.
        skip_connections: whether the finer levels see the backbone. False is for comparison (Table 5): what the
            levels see then is a Markov chain, in which a finer level cannot know more than a coarser one.
        feature_channels: channels of the backbone's features, from shallow to deep. By default the backbone's
            ``out_channels``, or what a timm model says of itself.

    Attributes:
        backbone: as given.
        bottlenecks: one per level.
        heads: one :class:`~nested_lightning.models.BottleneckHead` per level.
        sizes: as given.
        feature_channels: channels of the backbone's features.

    Raises:
        ConfigurationError: an argument does not fit the others, or the backbone gives other features than announced.

    Example:
        >>> import torch
        >>> from nested_lightning.models import ConvBottleneck, UNetEncoder
        >>> network = NestedNetwork(UNetEncoder(1, (8, 16)), [2, 4, 10], ConvBottleneck, [32, 32, 16])
        >>> [list(logits.shape) for logits in network(torch.rand(5, 1, 28, 28))]
        [[5, 3], [5, 5], [5, 11]]
        >>> [list(embedding.shape) for embedding in network.embed(torch.rand(5, 1, 28, 28), up_to=1)]
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
        self.feature_channels = positive_integers(
            "feature_channels", _announced(backbone) if feature_channels is None else feature_channels
        )
        self.skip_connections = skip_connections
        channels = positive_integers("bottleneck_channels", bottleneck_channels)
        if not isinstance(bottleneck_channels, Sequence):
            channels *= len(self.sizes)
        if len(channels) != len(self.sizes):
            raise ConfigurationError(
                f"`bottleneck_channels` must be one number or one per level: there are {len(self.sizes)} levels, got "
                f"{list(channels)}."
            )
        self.backbone = backbone
        self.bottlenecks = nn.ModuleList(
            bottleneck(channels[level - 1] if level else 0, self._skip_channels(level), channels[level])
            for level in range(len(self.sizes))
        )
        heads = nn.ModuleList(map(BottleneckHead, channels, self.sizes))
        self.heads = cast("Sequence[BottleneckHead]", heads)  # tells type checkers what the list holds

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the backbone's features ``[B, C, ...]``, from shallow to deep.

        Raises:
            ConfigurationError: they are not as many, or do not have the channels, that the network was built for.
        """
        output = self.backbone(x)
        features = list(output) if isinstance(output, (list, tuple)) else [output]
        if not all(isinstance(feature, Tensor) and feature.ndim >= 2 for feature in features):
            raise ConfigurationError(
                f"The backbone {_name(self.backbone)} must give one tensor [batch, channels, ...] or a list of them, "
                f"got {_describe(output)}. Wrap it in a module that returns its features so."
            )
        got = tuple(feature.shape[1] for feature in features)
        if got != self.feature_channels:
            raise ConfigurationError(
                f"The backbone {_name(self.backbone)} was expected to give {len(self.feature_channels)} feature(s) with "
                f"{list(self.feature_channels)} channels (dimension 1), but gave {len(got)} with {list(got)}. If these "
                f"are its features, pass `feature_channels={list(got)}`; if it still ends in a classifier, remove that."
            )
        return features

    def embed(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        """Return the embeddings f_i ``[B, bottleneck_channels[i]]`` of the levels 0 to ``up_to`` (default: all).

        Each has length 1 (L2).

        Raises:
            ConfigurationError: there is no level ``up_to``.
        """
        return [self.heads[level].embed(block) for level, block in enumerate(self._maps(x, up_to))]

    def forward(self, x: Tensor, up_to: int | None = None) -> list[Tensor]:
        """Return the logits ``[B, sizes[i] + 1]`` of the levels 0 to ``up_to`` (default: all).

        The last column is the rejection logit: minus infinity until it is fitted.

        Raises:
            ConfigurationError: there is no level ``up_to``.
        """
        return [self.heads[level](block) for level, block in enumerate(self._maps(x, up_to))]

    def parts(self, level: int) -> list[nn.Module]:
        """Return the modules that start to train in the stage of ``level``.

        These are the level's bottleneck and head, and at level 0 the backbone, too. Every parameter of the network
        belongs to the parts of exactly one level.

        Raises:
            ConfigurationError: there is no such level.
        """
        level = self._checked(level)
        own = [self.bottlenecks[level], self.heads[level]]
        return own if level else [self.backbone, *own]

    def _maps(self, x: Tensor, up_to: int | None) -> Iterator[Tensor]:
        last = len(self.sizes) - 1 if up_to is None else self._checked(up_to)
        features, previous = self.features(x), None
        for level in range(last + 1):
            skip = features[self._feature(level)]
            if not self._skip_channels(level):
                skip = skip[:, :0].detach()
            previous = self.bottlenecks[level](previous, skip)
            yield previous

    def _feature(self, level: int) -> int:
        """Return the index of the feature that ``level`` sees: the deepest first, the shallowest again and again."""
        return max(len(self.feature_channels) - 1 - level, 0)

    def _skip_channels(self, level: int) -> int:
        return self.feature_channels[self._feature(level)] if self.skip_connections or not level else 0

    def _checked(self, level: int) -> int:
        if not 0 <= level < len(self.sizes):
            raise ConfigurationError(
                f"There is no level {level}: this network has the levels 0 (coarsest) to {len(self.sizes) - 1}."
            )
        return level


def _announced(backbone: nn.Module) -> int | Sequence[int]:
    """Return the channels that a backbone says its features have."""
    info = getattr(backbone, "feature_info", None)
    timm = info.channels() if hasattr(info, "channels") else getattr(backbone, "num_features", None)
    channels: int | Sequence[int] | None = getattr(backbone, "out_channels", timm)
    if channels is None:
        raise ConfigurationError(
            f"The backbone {_name(backbone)} does not say how many channels its features have. Pass "
            "`feature_channels=[...]`, one number per feature from shallow to deep, or give it an attribute "
            "`out_channels`."
        )
    return channels


def _name(backbone: nn.Module) -> str:
    return type(backbone).__name__


def _describe(output: object) -> str:
    if isinstance(output, (list, tuple)):
        return f"a {type(output).__name__} of [{', '.join(map(_describe, output))}]"
    shape = f" of shape {list(output.shape)}" if isinstance(output, Tensor) else ""
    return f"a {type(output).__name__}{shape}"
