"""A backbone's word vectors start as those of the file."""

from pathlib import Path
from typing import Any

import datasets
import lightning as L
import pytest
import torch
from helpers.toy import toy_trainer
from torch import nn

from nested_lightning import HierarchicalDataModule, NestedLightningModule
from nested_lightning.callbacks import WordVectors
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.models import LSTMBottleneck, TextUNetEncoder

TAXONOMY = {"levels": ["kind", "name"], "leaves": [["bird", "owl"], ["fish", "cod"]]}
VECTORS = {"night": [1.0, 2.0, 3.0], "owl": [4.0, 5.0, 6.0], "absent": [7.0, 8.0, 9.0]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items()))
    return path


def data() -> HierarchicalDataModule:
    rows = datasets.Dataset.from_dict(
        {"text": ["the owl at night", "a cod by night"] * 10, "label": ["owl", "cod"] * 10}
    )
    return HierarchicalDataModule(rows, TAXONOMY, input_column="text", label_columns="label", seed=0)


def module(vocabulary_size: int = 20, size: int = 3) -> NestedLightningModule:
    torch.manual_seed(0)
    backbone = TextUNetEncoder(vocabulary_size, size, (4,))
    return NestedLightningModule(backbone, TAXONOMY, bottleneck=LSTMBottleneck, bottleneck_channels=4)


class Still(L.Callback):
    """Keeps the vectors as they are when training begins."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = vectors_of(pl_module)


def vectors_of(model: Any) -> torch.Tensor:
    return model.network.backbone.embedding.weight.detach().clone()  # type: ignore[no-any-return]


def fit(root: Path, source: object, model: NestedLightningModule, **options: Any) -> torch.Tensor:
    """Return the word vectors at the start of training."""
    still = Still()
    trainer = toy_trainer(root, WordVectors(str(source)), still, max_epochs=options.pop("max_epochs", 1))
    trainer.fit(model, options.pop("data", None) or data(), **options)
    trainer.save_checkpoint(root / "last.ckpt")
    return still.start


def test_words_of_the_file_start_there_and_others_at_random(file: Path, tmp_path: Path) -> None:
    model = module()
    before, start, words = vectors_of(model), fit(tmp_path, file, model), data().vocabulary.words
    assert {"night", "owl", "the"} <= set(words)
    for number, vector in enumerate(start):
        known = words[number] if number < len(words) else ""
        assert vector.tolist() == VECTORS.get(known, before[number].tolist())
    assert not torch.equal(vectors_of(model), start)


def test_a_resumed_run_goes_on_with_the_vectors_of_its_checkpoint(file: Path, tmp_path: Path) -> None:
    model, resumed = module(), module()
    fit(tmp_path, file, model)
    start = fit(tmp_path, file, resumed, max_epochs=2, ckpt_path=str(tmp_path / "last.ckpt"))
    assert torch.equal(start, vectors_of(model))


def test_real_vectors(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "glove_twitter_25d"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    start = fit(tmp_path, folder, module(size=25))
    table = datasets.load_dataset(str(folder), split="train").with_format("arrow")[:]
    row = table["word"].to_pylist().index("night")
    assert start[data().vocabulary.words.index("night")].tolist() == pytest.approx(table["vector"][row].as_py())


def test_refusals(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dimension 3, the backbone of 5: set its embedding_channels to 3"):
        fit(tmp_path, file, module(size=5))
    with pytest.raises(ConfigurationError, match=r"built for 4 words, but the data has 8.*data\.text\.vocabulary_size"):
        fit(tmp_path, file, module(vocabulary_size=4))
    (tmp_path / "other.txt").write_text("hibou 1 2 3\nnuit 1 2 3\n")
    with pytest.raises(DataError, match=r"other\.txt has none of the 8 words of the data"):
        fit(tmp_path, tmp_path / "other.txt", module())
    bare = NestedLightningModule(nn.Linear(3, 4), TAXONOMY, feature_channels=4)
    with pytest.raises(ConfigurationError, match="needs a backbone with word vectors in `embedding`"):
        fit(tmp_path, file, bare)
    numbers = datasets.Dataset.from_dict({"text": [[1.0, 2.0]] * 20, "label": ["owl", "cod"] * 10})
    other = HierarchicalDataModule(numbers, TAXONOMY, input_column="text", label_columns="label", seed=0)
    with pytest.raises(DataError, match="'text' is not text, and has no vocabulary"):
        fit(tmp_path, file, module(), data=other)


def test_other_commands_do_not_read_the_file(tmp_path: Path) -> None:
    WordVectors("none.txt").setup(toy_trainer(tmp_path), module(), "predict")
