"""The paper's network for articles: padding changes nothing, its size, what it refuses."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from nested_lightning.data.vocabulary import padded
from nested_lightning.errors import ConfigurationError
from nested_lightning.models import DenseBottleneck, LSTMBottleneck, NestedNetwork, TextUNetEncoder
from nested_lightning.models.text_unet import BiLSTM, MaskedConvolution, presence_of, upsample

TEXTS = [[(7 * length + i) % 20 for i in range(length)] for length in range(1, 10)]


def tokens(texts: list[list[int]], longer: int = 0) -> Tensor:
    return padded(texts, max(map(len, texts)) + longer).long()


def network(n_levels: int = 3, skip_connections: bool = True, **options: Any) -> NestedNetwork:
    torch.manual_seed(0)
    encoder = TextUNetEncoder(**{"vocabulary_size": 20, "embedding_channels": 6, "channels": (4, 8), **options})
    sizes = [2 + level for level in range(n_levels)]
    net = NestedNetwork(encoder, sizes, LSTMBottleneck, 6, skip_connections=skip_connections)
    for _ in range(3):
        net(tokens(TEXTS))  # statistics of the batch normalisation that differ from the first ones
    return net.eval()


@pytest.mark.parametrize("skip_connections", [True, False])
@pytest.mark.parametrize("n_levels", [1, 3, 5])
def test_a_text_depends_on_itself_alone(n_levels: int, skip_connections: bool) -> None:
    net = network(n_levels, skip_connections)
    together, longer = net(tokens(TEXTS)), net(tokens(TEXTS, longer=7))
    for row, text in enumerate(TEXTS):
        for level, alone in enumerate(net(tokens([text]))):
            assert alone.shape == (1, 3 + level)
            torch.testing.assert_close(together[level][row : row + 1], alone, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(longer[level][row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_word_order_and_every_word_matter() -> None:
    net = network()
    embeddings = torch.cat(net.embed(tokens([[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 5], [1, 2, 3, 4]])), dim=1)
    torch.testing.assert_close(embeddings[0], embeddings[3], atol=1e-6, rtol=0)
    assert all((embeddings[0] - embeddings[i]).abs().max() > 1e-4 for i in (1, 2))


@pytest.mark.parametrize("channels", [(4,), (4, 8), (4, 8, 6, 4)])
def test_features(channels: tuple[int, ...]) -> None:
    encoder = TextUNetEncoder(20, 6, channels)
    features = encoder(tokens(TEXTS))
    unit = 2 ** len(channels)
    longest = -(-9 // unit) * unit
    widths = [*channels, channels[-1]]
    assert [tuple(f.shape) for f in features] == [(9, w + 1, longest // 2**i) for i, w in enumerate(widths)]
    assert encoder.out_channels == tuple(width + 1 for width in widths)
    net = NestedNetwork(encoder, [2, 3, 4], LSTMBottleneck, 6)
    assert [tuple(logits.shape) for logits in net(tokens(TEXTS))] == [(9, 3), (9, 4), (9, 5)]


def test_gradients_reach_every_parameter() -> None:
    net = network().train()
    sum(logits[:, :-1].pow(2).sum() for logits in net(tokens(TEXTS))).backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None and (p.grad != 0).any()}
    assert trained >= {name for name, _ in net.named_parameters() if "rejection" not in name}


def test_parameters_of_the_papers_network() -> None:
    def convolution(inputs: int, channels: int) -> int:
        return 5 * inputs * channels + 2 * channels

    def lstms(inputs: int, hidden: int, channels: int) -> int:
        sizes = ((inputs, hidden // 2), (hidden, channels // 2))
        return sum(2 * (4 * h * (i + h) + 8 * h) for i, h in sizes)

    expected = convolution(100, 32) + convolution(32, 64)
    expected += convolution(64, 128) + lstms(128, 200, 32)
    expected += convolution(128 + 64, 64) + lstms(64, 100, 64)
    expected += convolution(64 + 32, 32) + lstms(32, 100, 64)
    net = NestedNetwork(TextUNetEncoder(), [9, 70, 219], LSTMBottleneck, [32, 64, 64])
    heads = sum(p.numel() for p in net.heads.parameters())
    rest = sum(p.numel() for p in net.parameters()) - net.backbone.embedding.weight.numel()
    assert rest - heads == expected
    assert rest == pytest.approx(5.24e5, rel=2e-3)


class Pair(nn.Module):
    """Gives the next level more than its own head sees."""

    surplus = 0

    def __init__(self, previous_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.map_channels = channels + 3
        self.built = previous_channels
        self.map = nn.Linear(previous_channels + skip_channels, self.map_channels)
        self.own = nn.Linear(self.map_channels, channels + self.surplus)

    def forward(self, previous: Tensor | None, skip: Tensor) -> tuple[Tensor, Tensor]:
        result = self.map(skip if previous is None else torch.cat([previous, skip], dim=1))
        return result, self.own(result)


def test_a_bottleneck_may_return_a_map_beside_the_embedding() -> None:
    net = NestedNetwork(nn.Linear(4, 5), [2, 3], Pair, [6, 8], feature_channels=5)
    assert [block.built for block in net.bottlenecks] == [0, 9]
    x = torch.rand(2, 4)
    first, embedding = net.bottlenecks[0](None, net.backbone(x))
    second = net.bottlenecks[1](first, net.backbone(x))[1]
    for f, own in zip(net.embed(x), (embedding, second), strict=True):
        torch.testing.assert_close(f, own / own.norm(dim=1, keepdim=True))


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"TextUNetEncoder expects token ids.*\[2, 3, 8, 8\].*input_column"):
        network()(torch.rand(2, 3, 8, 8))
    with pytest.raises(ConfigurationError, match=r"built for 20 tokens.*token id 20"):
        network()(torch.tensor([[20]]))
    for widths in ((5, 100), (6, 7)):
        with pytest.raises(ConfigurationError, match=rf"must be even, got {widths[0]} and {widths[1]}"):
            LSTMBottleneck(0, 9, *widths)
    with pytest.raises(ConfigurationError, match=r"needs sequences.*\[2, 9\].*DenseBottleneck"):
        LSTMBottleneck(0, 9, 6)(None, torch.rand(2, 9))
    monkeypatch.setattr(Pair, "surplus", 1)
    with pytest.raises(ConfigurationError, match=r"Pair of level 0 was built for 6 channels.*which has 7"):
        NestedNetwork(nn.Linear(4, 5), [2], Pair, 6, feature_channels=5)(torch.rand(2, 4))


def test_a_bottleneck_of_vectors_works_after_it_too() -> None:
    net = NestedNetwork(TextUNetEncoder(20, 6, (4, 8)), [2, 3], DenseBottleneck, 6)
    assert [tuple(logits.shape) for logits in net(tokens(TEXTS))] == [(9, 3), (9, 4)]


# ---- the layers, each against torch's own on one text alone ----

LENGTHS = (1, 2, 5, 9, 4)


def features_of_texts(channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(channels, length, generator=generator) for length in LENGTHS]


def padded_batch(parts: list[Tensor], longer: int = 0) -> tuple[Tensor, Tensor]:
    """Return features ``[B, C, L]`` with 0 after each text, and their presence ``[B, 1, L]``."""
    longest = max(part.shape[1] for part in parts) + longer
    features = pad_sequence([*(part.T for part in parts), torch.zeros(longest, len(parts[0]))], batch_first=True)
    lengths = torch.tensor([part.shape[1] for part in parts])
    return features[:-1].transpose(1, 2), (torch.arange(longest) < lengths[:, None])[:, None].float()


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_convolution_of_each_text_alone(kernel_size: int) -> None:
    block = MaskedConvolution(4, 6, kernel_size).eval()
    own = nn.Conv1d(4, 6, kernel_size, padding=kernel_size // 2, bias=False)
    own.load_state_dict(block.block[0].state_dict())
    parts = features_of_texts(4)
    features, presence = padded_batch(parts, longer=3)
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
    lstm, parts = BiLSTM(4, 10, 6), features_of_texts(4)
    result = lstm(torch.cat(padded_batch(parts, longer=2), dim=1))
    first = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
    second = nn.LSTM(10, 3, batch_first=True, bidirectional=True)
    first.load_state_dict(lstm.first.state_dict())
    second.load_state_dict(lstm.second.state_dict())
    for part, vector in zip(parts, result, strict=True):
        states = second(first(part.T[None])[0])[0][0]
        torch.testing.assert_close(vector, torch.cat([states[-1, :3], states[0, 3:]]))


def test_gradients_flow_inside_the_texts_alone() -> None:
    features, presence = padded_batch(features_of_texts(4))
    features.requires_grad_()
    block, lstm = MaskedConvolution(4, 6), BiLSTM(6, 4, 2)
    lstm(block(features, presence)).pow(2).sum().backward()
    assert all((parameter.grad != 0).any() for module in (block, lstm) for parameter in module.parameters())
    for part, gradient in zip(features_of_texts(4), features.grad, strict=True):
        assert (gradient[:, : part.shape[1]] != 0).any()
