"""A pretrained encoder from a folder, against transformers itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from torch import Tensor

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.data.vocabulary import TextOptions
from nested_lightning.errors import ConfigurationError
from nested_lightning.models import PretrainedEncoder

transformers = pytest.importorskip("transformers")
TOKENS = torch.tensor([[5, 3, 9, 1], [7, -1, -1, -1], [2, 2, -1, -1], [7, -1, -1, -1]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights, and its tokenizer."""
    path = tmp_path_factory.mktemp("encoder")
    config = transformers.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=6,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(path)
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "owl": 1, "sees": 2, "cod": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of texts at each call of the model."""
    counted: list[int] = []
    encoded = PretrainedEncoder._encoded

    def counting(self: PretrainedEncoder, tokens: Tensor) -> Tensor:
        counted.append(len(tokens))
        return encoded(self, tokens)

    monkeypatch.setattr(PretrainedEncoder, "_encoded", counting)
    return counted


def by_transformers(folder: Path) -> Tensor:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = [model(row[row >= 0][None]).last_hidden_state[0] for row in TOKENS]
    return torch.stack([state.mean(0) for state in states])


@pytest.mark.parametrize("frozen", [True, False])
def test_the_mean_of_the_tokens_states(folder: Path, frozen: bool) -> None:
    encoder = PretrainedEncoder(str(folder), frozen).eval()
    assert encoder.out_channels == 16
    torch.testing.assert_close(encoder(TOKENS), by_transformers(folder), atol=1e-5, rtol=1e-5)


def test_frozen_each_text_passes_once(folder: Path, calls: list[int]) -> None:
    encoder = PretrainedEncoder(str(folder)).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    first = encoder(TOKENS[:2])
    again = encoder(TOKENS)
    assert calls == [2, 1]
    assert torch.equal(encoder(torch.tensor([[7], [2]]))[:1], first[1:])
    assert calls == [2, 1, 1]
    assert torch.equal(again[:2], first)
    assert not again.requires_grad


def test_training_texts_are_encoded_in_a_fixed_order_before_training(folder: Path, calls: list[int]) -> None:
    encoder = PretrainedEncoder(str(folder))
    assert not encoder.is_fitted
    encoder.fit_inputs([TOKENS[:2], TOKENS[2:]])
    assert encoder.is_fitted
    assert calls == [2, 1]
    encoder(TOKENS.flip(0))
    assert calls == [2, 1]
    assert PretrainedEncoder(str(folder), frozen=False).is_fitted


def test_vectors_of_other_weights_are_forgotten(folder: Path) -> None:
    encoder, other = PretrainedEncoder(str(folder)), PretrainedEncoder(str(folder))
    for parameter in other.parameters():
        parameter.data.mul_(2)
    before = encoder(TOKENS)
    encoder.load_state_dict(other.state_dict())
    assert torch.equal(encoder(TOKENS), other(TOKENS))
    assert not torch.allclose(encoder(TOKENS), before)


def test_not_frozen_it_trains(folder: Path, calls: list[int]) -> None:
    encoder = PretrainedEncoder(str(folder), frozen=False).train()
    assert encoder.model.training
    for _ in range(2):
        encoder(TOKENS).sum().backward()
    assert calls == [4, 4]
    used = [p for name, p in encoder.named_parameters() if "pooler" not in name]
    assert all(parameter.grad is not None for parameter in used)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"reads 6 tokens at most, got texts of 7.*data\.text\.length to 6"):
        PretrainedEncoder(str(folder))(torch.ones(2, 7, dtype=torch.long))
    with pytest.raises(ConfigurationError, match=r"built for 12 tokens.*token id 12"):
        PretrainedEncoder(str(folder))(torch.tensor([[12]]))
    with pytest.raises(ConfigurationError, match=r"there is no .*config\.json. Give the folder"):
        PretrainedEncoder(str(tmp_path / "none"))
    for broken in ("corrupt", "pickled"):
        (tmp_path / broken).mkdir()
        (tmp_path / broken / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "corrupt" / "model.safetensors").write_bytes(b"\xff" * 100)
    model = transformers.AutoModel.from_pretrained(folder)
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    for broken in ("corrupt", "pickled"):
        with pytest.raises(ConfigurationError, match=rf"PretrainedEncoder: .*{broken} cannot be loaded") as caught:
            PretrainedEncoder(str(tmp_path / broken))
        assert "\n" not in str(caught.value)


def test_from_text_to_prediction(folder: Path) -> None:
    import datasets

    taxonomy: dict[str, Any] = {"levels": ["kind", "name"], "leaves": [["bird", "owl"], ["fish", "cod"]]}
    source = datasets.Dataset.from_dict({"text": ["owl sees cod", "", "xyz", "owl " * 50]})
    data = HierarchicalDataModule(
        source, taxonomy, input_column="text", text=TextOptions(length=6, tokenizer=str(folder))
    )
    (batch,) = data.predict_dataloader()
    assert batch[0].tolist() == [[1, 2, 3, -1, -1, -1], [0] + [-1] * 5, [0] + [-1] * 5, [1] * 6]
    torch.manual_seed(0)
    module = NestedLightningModule(PretrainedEncoder(str(folder)), taxonomy, bottleneck_channels=4)
    together = module.predict(batch[0])
    for row in range(4):
        alone = module.predict(batch[0][row : row + 1])
        for one, other in zip(alone.probabilities, together.probabilities, strict=True):
            torch.testing.assert_close(one[0], other[row], atol=1e-6, rtol=0)


def test_positions_that_are_counted_from_after_the_padding(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(
        vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    encoder = PretrainedEncoder(str(tmp_path))
    assert encoder(torch.full((1, 6), 5)).isfinite().all()
    with pytest.raises(ConfigurationError, match="reads 6 tokens at most, got texts of 7"):
        encoder(torch.full((1, 7), 5))


def test_a_model_with_a_decoder_is_refused(tmp_path: Path) -> None:
    config = transformers.T5Config(vocab_size=12, d_model=8, num_layers=1, num_heads=2, d_ff=8, d_kv=4)
    transformers.T5Model(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="has a T5Model, which has a decoder"):
        PretrainedEncoder(str(tmp_path))
