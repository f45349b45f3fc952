"""The paper's network for articles: a U-Net of 1-D convolutions with LSTMs at each level (C.1, Fig. C.2).

Texts of different lengths share a batch: a last channel, the presence, is 1 inside a text and 0 after its end, where
all other channels are 0, too. So convolutions, pooling and upsampling see there what they see beyond the border of a
tensor, and a text's features do not depend on the lengths of the other texts in its batch.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad
from torch.nn.utils.rnn import pack_padded_sequence

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.layers import RobustBatchNorm, check_token_ids, positive_integers


class TextUNetEncoder(nn.Module):
    """Backbone of texts: a vector for each word, then convolutions over 5 words, each followed by a max pooling of 2.

    Together with one :class:`LSTMBottleneck` per level it is the network of Fig. C.2. The vectors are trained, from
    random values or from those of a file (:class:`~nested_lightning.callbacks.WordVectors`).

    Args:
        vocabulary_size: number of token ids (``data.text.vocabulary_size``).
        embedding_channels: dimension of the word vectors (100 in the paper).
        channels: of each convolution, from shallow to deep.
        kernel_size: of the convolutions, in words.
        dropout: probability of zeroing a word's vector value in training.

    Attributes:
        embedding: the word vectors.
        out_channels: channels of the features, from shallow to deep, including the presence.

    Shape:
        - input: ``int64[B, L]`` token ids, -1 after the end of a text
        - output: the map of each convolution, from shallow to deep, and last the pooled map of the last one; the last
          channel is the presence. For two convolutions ``[B, c1 + 1, L']``, ``[B, c2 + 1, L' / 2]``,
          ``[B, c2 + 1, L' / 4]``, where L' is L rounded up to a multiple of 4

    Raises:
        ConfigurationError: an argument is out of range, or an input is not token ids.

    Example:
        >>> encoder = TextUNetEncoder(vocabulary_size=10, embedding_channels=6, channels=(4, 8))
        >>> [list(feature.shape) for feature in encoder(torch.tensor([[1, 2, 3, 4, 5], [9, 1, -1, -1, -1]]))]
        [[2, 5, 8], [2, 9, 4], [2, 9, 2]]
    """

    def __init__(
        self,
        vocabulary_size: int = 30000,
        embedding_channels: int = 100,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = positive_integers("embedding_channels", embedding_channels) + positive_integers("channels", channels)
        self.vocabulary_size = positive_integers("vocabulary_size", vocabulary_size)[0]
        self.out_channels = tuple(width + 1 for width in (*widths[1:], widths[-1]))
        self.embedding = nn.Embedding(self.vocabulary_size, embedding_channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(MaskedConvolution(a, b, kernel_size) for a, b in pairwise(widths))

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """Return the features from shallow to deep."""
        check_token_ids("TextUNetEncoder", tokens, self.vocabulary_size)
        vectors = self.dropout(self.embedding(tokens.clamp(min=0))) * (tokens >= 0)[..., None]
        presence = presence_of(tokens, 2 ** len(self.blocks)).to(vectors.dtype)
        x = pad(vectors.transpose(1, 2), (0, presence.shape[2] - tokens.shape[1]))
        features = []
        for block in self.blocks:
            features.append(block(x, presence))
            pooled = max_pool1d(features[-1], 2)
            x, presence = pooled[:, :-1], pooled[:, -1:]
        return [*features, pooled]


class LSTMBottleneck(nn.Module):
    """Bottleneck of texts: a decoder convolution of the U-Net, followed by the level's own LSTMs (Fig. C.2).

    The map of the convolution passes on to the next level; the LSTMs turn it into this level's embedding. The
    convolution has twice the channels of the skip connection at level 0, and as many at the others; the first LSTM is
    twice as wide at level 0.

    The whole network of Fig. C.2 (9, 70 and 219 classes, vectors of 100) has 5.2e5 parameters without the word vectors,
    the paper's 4.2e5 (Table C.1): the paper does not say how it counts the widths of an LSTM; here they are those of
    both directions together. With each direction of that width there would be 1.2e6.

    Args:
        previous_channels: channels of the coarser level's map; 0 at level 0.
        skip_channels: channels of the backbone's feature; 0 without a skip connection.
        channels: size of the embedding; even.
        hidden: width of the first LSTM; even.
        kernel_size: of the convolution, in words.

    Attributes:
        map_channels: channels of the map for the next level.

    Shape:
        - previous: ``[B, previous_channels, l]`` or None; skip: ``[B, skip_channels, L]``; in both the last channel is
          the presence
        - output: the map ``[B, map_channels, L]``, and the embedding ``[B, channels]``

    Raises:
        ConfigurationError: a width is odd, or the backbone does not give sequences.
    """

    def __init__(
        self, previous_channels: int, skip_channels: int, channels: int, hidden: int = 100, kernel_size: int = 5
    ) -> None:
        super().__init__()
        if channels % 2 or hidden % 2:
            raise ConfigurationError(
                f"LSTMBottleneck divides its widths between two directions: `bottleneck_channels` and `hidden` must be "
                f"even, got {channels} and {hidden}."
            )
        inputs = max(previous_channels - 1, 0) + max(skip_channels - 1, 0)
        width = 2 * (skip_channels - 1) if not previous_channels else (skip_channels or previous_channels // 2 + 1) - 1
        self.map_channels = width + 1
        self.convolution = MaskedConvolution(inputs, width, kernel_size)
        self.lstm = BiLSTM(width, hidden if previous_channels else 2 * hidden, channels)

    def forward(self, previous: Tensor | None, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map for the next level, and the level's embedding before L2 normalisation."""
        if skip.ndim != 3:
            raise ConfigurationError(
                f"LSTMBottleneck needs sequences [batch, channels, length], but the backbone gave a feature of shape "
                f"{list(skip.shape)}. Use `nested_lightning.models.TextUNetEncoder`, or `bottleneck: "
                "nested_lightning.models.DenseBottleneck` with this backbone."
            )
        sources = [skip] if previous is None else [upsample(previous, skip.shape[2]), skip]
        sources = [source for source in sources if source.shape[1]]
        presence = sources[-1][:, -1:]
        features = self.convolution(torch.cat([source[:, :-1] for source in sources], dim=1), presence)
        return features, self.lstm(features)


class MaskedConvolution(nn.Module):
    """Convolution, batch normalisation, ReLU, and 0 after the end of each text; ``kernel_size`` is odd.

    Shape:
        - features: ``[B, in_channels, L]``; presence: ``[B, 1, L]``
        - output: ``[B, channels + 1, L]``, the last channel being the presence
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int = 5) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(in_channels, channels, kernel_size, padding="same", bias=False),
            RobustBatchNorm(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor, presence: Tensor) -> Tensor:
        """Return the features with their presence as the last channel."""
        return torch.cat([self.block(features) * presence, presence], dim=1)


class BiLSTM(nn.Module):
    """Two stacked bidirectional LSTMs; the result is the second one's state at either end of the text.

    ``hidden`` and ``channels`` are the widths of the first and the second, both directions together; even.

    Shape:
        - features: ``[B, in_channels + 1, L]``, the last channel being the presence
        - output: ``[B, channels]``
    """

    def __init__(self, in_channels: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.first = nn.LSTM(in_channels, hidden // 2, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(hidden, channels // 2, batch_first=True, bidirectional=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return the texts' vectors."""
        lengths = features[:, -1].sum(1).long().clamp(min=1).cpu()
        sequence = features[:, :-1].transpose(1, 2)
        packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.second(self.first(packed)[0])
        return torch.cat([last[0], last[1]], dim=1)


def presence_of(tokens: Tensor, unit: int) -> Tensor:
    """Return a mask of the positions inside each text, rounded up to a multiple of ``unit``: ``bool[B, 1, L']``.

    So a text keeps its exact share of the positions when poolings reduce ``unit`` positions to one, and back.
    ``tokens`` are ``int64[B, L]``, -1 after the end of a text; L' is L rounded up to a multiple of ``unit``.

    Example:
        >>> presence_of(torch.tensor([[5, 3, 4], [7, -1, -1]]), 2).int().tolist()
        [[[1, 1, 1, 1]], [[1, 1, 0, 0]]]
    """
    units = max_pool1d((tokens >= 0).float()[:, None], unit, ceil_mode=True)
    return units.repeat_interleave(unit, dim=2) > 0


def upsample(features: Tensor, length: int) -> Tensor:
    """Repeat each position to reach ``length``, a multiple of L: ``[B, C, length]``."""
    return features.repeat_interleave(length // features.shape[2], dim=2)
