"""The paper's network for articles: padding changes nothing, its size, what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nested_lightning.data.vocabulary import padded
from nested_lightning.errors import ConfigurationError
from nested_lightning.models import DenseBottleneck, LSTMBottleneck, NestedNetwork, TextUNetEncoder

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

    wrong = 0

    def __init__(self, previous_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.map_channels = channels + 3
        self.built = previous_channels
        self.map = nn.Linear(previous_channels + skip_channels, self.map_channels)
        self.own = nn.Linear(self.map_channels, channels + self.wrong)

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
    monkeypatch.setattr(Pair, "wrong", 1)
    with pytest.raises(ConfigurationError, match=r"Pair of level 0 was built for 6 channels.*which has 7"):
        NestedNetwork(nn.Linear(4, 5), [2], Pair, 6, feature_channels=5)(torch.rand(2, 4))


def test_a_bottleneck_of_vectors_works_behind_it_too() -> None:
    net = NestedNetwork(TextUNetEncoder(20, 6, (4, 8)), [2, 3], DenseBottleneck, 6)
    assert [tuple(logits.shape) for logits in net(tokens(TEXTS))] == [(9, 3), (9, 4)]
