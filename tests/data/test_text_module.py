"""The data module of texts: whose words it knows, its batches, and what a checkpoint keeps."""

from pathlib import Path
from typing import Any

import datasets
import lightning as L
import pytest
import torch
from helpers.interrupted import KilledError, SaveAndDie
from helpers.toy import toy_trainer
from torch import Tensor, nn

from nested_lightning.data import HierarchicalDataModule
from nested_lightning.data.vocabulary import TextOptions
from nested_lightning.errors import DataError

TAXONOMY = {"levels": ["kind", "name"], "leaves": [["bird", "owl"], ["fish", "cod"]]}
RANDOM = torch.Generator().manual_seed(0)
LENGTHS = torch.randint(1, 40, (90,), generator=RANDOM).tolist()
TEXTS = [" ".join([f"only{i}", *("owl" if i % 2 else "cod" for _ in range(n))]) for i, n in enumerate(LENGTHS)]


def table(texts: list[Any] = TEXTS, labelled: bool = True) -> datasets.Dataset:
    labels = {"label": ["owl" if i % 2 else "cod" for i in range(len(texts))]} if labelled else {}
    return datasets.Dataset.from_dict({"text": texts, **labels})


def module(source: Any = None, **options: Any) -> HierarchicalDataModule:
    plain = {"input_column": "text", "text": TextOptions(length=30, min_count=1), "seed": 0, "batch_size": 8}
    plain |= {"label_columns": "label", "validation": 10, "test": 10}
    return HierarchicalDataModule(table() if source is None else source, TAXONOMY, **{**plain, **options})


def test_only_words_of_training_rows_are_known() -> None:
    data = module()
    words = set(data.vocabulary.words)
    parts = data.partition
    assert {f"only{i}" for i in parts.train} == words - {"[UNK]", "owl", "cod"}
    data.setup("fit")
    (inputs, _) = next(iter(data.val_dataloader()))
    assert (inputs[:, 0] == 0).all()
    assert len(inputs) == len(parts.validation) == 10


def test_batches() -> None:
    data = module()
    assert set(module().state_dict()) == {"seed", "rows", "input_shape", "vocabulary"}  # also before anything was read
    assert data.input_shape == (30,)
    data.setup("fit")
    spread, seen = [], []
    for inputs, targets in data.train_dataloader():
        lengths = (inputs >= 0).sum(1)
        assert inputs.dtype == torch.int64
        assert inputs.shape == (len(targets), int(lengths.max()))
        assert torch.equal(inputs >= 0, torch.arange(inputs.shape[1]) < lengths[:, None])
        seen += lengths.tolist()
        spread.append(int(lengths.max() - lengths.min()))
        words = [[data.vocabulary.words[i] for i in row if i >= 0] for row in inputs]
        assert all("cod" in row if target[1] == 1 else "owl" in row for row, target in zip(words, targets, strict=True))
    assert sorted(seen) == sorted(min(LENGTHS[i] + 1, 30) for i in data.partition.train)
    assert max(spread[:-1]) < 10


class Reader(L.LightningModule):
    """Learns a vector per word; records what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.seen = nn.Embedding(200, 2), list[Tensor]()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        self.seen.append(inputs)
        vectors = self.words(inputs.clamp(min=0)) * (inputs >= 0)[..., None]
        return nn.functional.cross_entropy(vectors.mean(1), targets[:, 0])

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return batch[0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-2)


def test_resumes_in_mid_epoch_bit_by_bit(tmp_path: Path) -> None:
    whole, cut, resumed = Reader(), Reader(), Reader()
    cut.load_state_dict(whole.state_dict())
    toy_trainer(tmp_path, max_epochs=3).fit(whole, module())
    path = tmp_path / "cut.ckpt"
    with pytest.raises(KilledError):  # 9 batches an epoch
        toy_trainer(tmp_path, SaveAndDie(path, 13), max_epochs=3).fit(cut, module())
    toy_trainer(tmp_path, max_epochs=3).fit(resumed, module(), ckpt_path=str(path))
    after = [*cut.seen[:13], *resumed.seen]
    assert len(after) == len(whole.seen) == 27
    assert all(torch.equal(one, other) for one, other in zip(after, whole.seen, strict=True))
    assert torch.equal(whole.words.weight, resumed.words.weight)
    assert not torch.equal(whole.seen[0], whole.seen[9])


def test_the_vocabulary_comes_from_the_checkpoint(tmp_path: Path) -> None:
    trained, run = module(), toy_trainer(tmp_path, max_epochs=1)
    run.fit(Reader(), trained)
    run.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["HierarchicalDataModule"]
    assert state == trained.state_dict()
    texts = ["cod owl strange", None, "", "owl " * 99]
    for name in ("predict", "train"):
        data = module({name: table(texts, labelled=False)}, text=TextOptions(length=5))
        (inputs,) = toy_trainer(tmp_path).predict(Reader(), data, ckpt_path=str(tmp_path / "a.ckpt"))  # type: ignore[misc]
        assert data.vocabulary == trained.vocabulary
        assert inputs.shape == (4, 30)
        known = trained.vocabulary.encode([text or "" for text in texts])
        assert [[i for i in row if i >= 0] for row in inputs.tolist()] == known


def test_rows_read_before_a_checkpoint_are_read_anew() -> None:
    data, other = module(), module(table(["night " * 40 + text for text in TEXTS]))
    data.setup("fit")
    assert data.vocabulary != other.vocabulary
    data.load_state_dict({**data.state_dict(), "vocabulary": other.vocabulary.state_dict()})
    assert data.vocabulary == other.vocabulary
    (inputs, _) = next(iter(data.labelled_dataloader()))
    encoded = other.vocabulary.encode([TEXTS[row] for row in data.partition.train])
    assert inputs.tolist() == [ids + [-1] * (inputs.shape[1] - len(ids)) for ids in encoded]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"predict": table(labelled=False)}, "has no split 'train', only 'predict'"),
        (table(labelled=False), "'label'"),
        (table().map(lambda row: {"label": None}, features=table().features), "0 labelled training rows"),
    ],
)
def test_nothing_is_predicted_without_a_vocabulary(source: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no vocabulary.*ckpt_path.*{message}") as caught:
        toy_trainer(tmp_path).predict(Reader(), module(source, validation=0, test=0))
    assert "\n" not in str(caught.value)


def test_texts_mixed_with_numbers_are_refused() -> None:
    numbers = datasets.Dataset.from_dict({"text": [1.0] * 20, "label": ["owl", "cod"] * 10})
    for source in ([table(), numbers], [numbers, table()]):
        with pytest.raises(DataError, match=r"'text' cannot be the input.*same kind in each source"):
            module(source).setup("fit")
        with pytest.raises(DataError, match="'text'"):
            module(dict(zip(("train", "validation"), source, strict=True))).setup("fit")
