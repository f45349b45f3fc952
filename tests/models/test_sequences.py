"""Layers for texts of different lengths in one batch, each against torch's own on one text alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nested_lightning.models.text_unet import BiLSTM, MaskedConvolution, presence_of, upsample

LENGTHS = (1, 2, 5, 9, 4)


def texts(channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(channels, length, generator=generator) for length in LENGTHS]


def batch(parts: list[Tensor], longer: int = 0) -> tuple[Tensor, Tensor]:
    """Return features ``[B, C, L]`` with 0 behind each text, and their presence ``[B, 1, L]``."""
    longest = max(part.shape[1] for part in parts) + longer
    features = pad_sequence([*(part.T for part in parts), torch.zeros(longest, len(parts[0]))], batch_first=True)
    lengths = torch.tensor([part.shape[1] for part in parts])
    return features[:-1].transpose(1, 2), (torch.arange(longest) < lengths[:, None])[:, None].float()


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_convolution_of_each_text_alone(kernel_size: int) -> None:
    block = MaskedConvolution(4, 6, kernel_size).eval()
    own = nn.Conv1d(4, 6, kernel_size, padding=kernel_size // 2, bias=False)
    own.load_state_dict(block.block[0].state_dict())
    parts = texts(4)
    features, presence = batch(parts, longer=3)
    result = block(features, presence)
    for part, row in zip(parts, result, strict=True):
        expected = own(part[None])[0].relu() / (1 + block.block[1].eps) ** 0.5
        torch.testing.assert_close(row[:-1, : part.shape[1]], expected)
        assert row[-1].tolist() == [1.0] * part.shape[1] + [0.0] * (12 - part.shape[1])
        assert (row[:, part.shape[1] :] == 0).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from([1, 2, 4]), st.integers(0, 3))
def test_presence_is_the_length_in_whole_units(lengths: list[int], unit: int, longer: int) -> None:
    longest = max(lengths) + longer
    tokens = torch.where(torch.arange(longest) < torch.tensor(lengths)[:, None], 3, -1)
    presence = presence_of(tokens, unit)
    assert presence.shape == (len(lengths), 1, -(-longest // unit) * unit)
    assert presence[:, 0].sum(1).tolist() == [-(-length // unit) * unit for length in lengths]
    assert torch.equal(presence, presence.sort(dim=2, descending=True).values)


def test_upsampling_repeats_positions() -> None:
    x = torch.tensor([[[4.0, 3.0]]])
    assert upsample(x, 4).tolist() == [[[4.0, 4.0, 3.0, 3.0]]]
    assert torch.equal(upsample(x, 2), x)


def test_lstms_of_each_text_alone() -> None:
    lstm, parts = BiLSTM(4, 10, 6), texts(4)
    result = lstm(torch.cat(batch(parts, longer=2), dim=1))
    first = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
    second = nn.LSTM(10, 3, batch_first=True, bidirectional=True)
    first.load_state_dict(lstm.first.state_dict())
    second.load_state_dict(lstm.second.state_dict())
    for part, vector in zip(parts, result, strict=True):
        states = second(first(part.T[None])[0])[0][0]
        torch.testing.assert_close(vector, torch.cat([states[-1, :3], states[0, 3:]]))


def test_gradients_flow_inside_the_texts_alone() -> None:
    features, presence = batch(texts(4))
    features.requires_grad_()
    block, lstm = MaskedConvolution(4, 6), BiLSTM(6, 4, 2)
    lstm(block(features, presence)).pow(2).sum().backward()
    assert all((parameter.grad != 0).any() for module in (block, lstm) for parameter in module.parameters())
    for part, gradient in zip(texts(4), features.grad, strict=True):
        assert (gradient[:, : part.shape[1]] != 0).any()
