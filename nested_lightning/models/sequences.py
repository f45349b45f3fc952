"""Sequences of different lengths in one batch: a last channel that says where a text is, and layers that keep it.

Behind the end of a text all channels are 0. So convolutions, pooling and upsampling see there what they see beyond the
border of a tensor, and a text's features do not depend on how long the other texts of its batch are.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d
from torch.nn.utils.rnn import pack_padded_sequence

from nested_lightning.models.layers import BatchNorm1d


class MaskedConvolution(nn.Module):
    """Convolution, batch normalisation, ReLU, and 0 behind the end of each text.

    Args:
        in_channels: of the features, without the channel of presence.
        channels: of the result, without the channel of presence.
        kernel_size: in tokens; odd.

    Shape:
        - features: ``[B, in_channels, L]``; presence: ``[B, 1, L]``, 1 inside the text and 0 behind it
        - output: ``[B, channels + 1, L]``, the last channel being the presence

    Example:
        >>> MaskedConvolution(4, 8)(torch.rand(2, 4, 6), torch.ones(2, 1, 6)).shape
        torch.Size([2, 9, 6])
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int = 5) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(in_channels, channels, kernel_size, padding="same", bias=False),
            BatchNorm1d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor, presence: Tensor) -> Tensor:
        """Return the features with their presence as the last channel."""
        return torch.cat([self.block(features) * presence, presence], dim=1)


def presence_of(tokens: Tensor, unit: int) -> Tensor:
    """Return which positions are inside a text, its length rounded up to whole units: ``bool[B, 1, L']``.

    So a text keeps its exact share of the positions through poolings that make one of ``unit`` positions, and back.

    Args:
        tokens: ``int64[B, L]``, -1 behind the end of a text.
        unit: L' is L rounded up to a multiple of it.

    Example:
        >>> presence_of(torch.tensor([[5, 3, 4], [7, -1, -1]]), 2).int()
        tensor([[[1, 1, 1, 1]],
        <BLANKLINE>
                [[1, 1, 0, 0]]], dtype=torch.int32)
    """
    units = max_pool1d((tokens >= 0).float()[:, None], unit, ceil_mode=True)
    return units.repeat_interleave(unit, dim=2) > 0


def pool(features: Tensor) -> Tensor:
    """Return the maximum of each two neighbours, ``[B, C, L / 2]``."""
    return max_pool1d(features, 2)


def upsample(features: Tensor, length: int) -> Tensor:
    """Return each position as often as it takes to make ``length``, a multiple of L: ``[B, C, length]``."""
    return features.repeat_interleave(length // features.shape[2], dim=2)


class BiLSTM(nn.Module):
    """Two bidirectional LSTMs, one on the other; the result is where the second arrives at either end of the text.

    Args:
        in_channels: of the features, without the channel of presence.
        hidden: of the first, both directions together; even.
        channels: of the second, both directions together; even.

    Shape:
        - features: ``[B, in_channels + 1, L]``, the last channel being the presence
        - output: ``[B, channels]``

    Example:
        >>> features = torch.cat([torch.rand(2, 4, 6), torch.ones(2, 1, 6)], dim=1)
        >>> BiLSTM(4, 10, 8)(features).shape
        torch.Size([2, 8])
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
