"""Columns of texts as token ids, made once for what is on disk."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from nested_lightning.data.columns import open_input_column
from nested_lightning.data.sources import Split, open_source
from nested_lightning.data.texts import TextColumn, read_texts
from nested_lightning.data.vocabulary import TextOptions, Vocabulary
from nested_lightning.errors import DataError

TEXTS = ["the owl", None, "an owl sees the night", ""]
MORE = ["night", "owl " * 9]


def vocabulary(length: int = 6, texts: list[str] | None = None) -> Vocabulary:
    return Vocabulary.train(texts or ["the owl sees an owl"], TextOptions(length=length, min_count=1))


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Texts from two files, one with an empty cell."""
    for name, texts in (("a", TEXTS), ("b", MORE)):
        datasets.Dataset.from_dict({"n": [0] * len(texts), "text": texts}).to_parquet(tmp_path / f"{name}.parquet")
    return open_source([tmp_path / "a.parquet", tmp_path / "b.parquet"])["train"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts at each call of ``Vocabulary.encode``."""
    counted: list[int] = []
    encode = Vocabulary.encode

    def counting(self: Vocabulary, texts: list[str]) -> list[list[int]]:
        counted.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(Vocabulary, "encode", counting)
    return counted


def expected(words: Vocabulary, texts: list[Any]) -> list[list[int]]:
    return [ids + [-1] * (words.length - len(ids)) for ids in words.encode([text or "" for text in texts])]


def test_the_rows_asked_for_from_both_tables(split: Split) -> None:
    words = vocabulary()
    column = open_input_column(split, "text", vocabulary=lambda: words)
    assert isinstance(column, TextColumn)
    assert column.shape == (6,)
    rows = torch.tensor([0, 1, 3, 4, 5])
    ids = column.read(rows)
    assert ids.dtype == torch.int32
    assert ids.tolist() == expected(words, [(TEXTS + MORE)[row] for row in rows])
    assert column.read(rows[:0]).shape == (0, 6)
    assert list(read_texts(split, "text", torch.tensor([0, 1, 5]))) == ["the owl", "", MORE[1]]


def test_what_is_on_disk_is_tokenised_once(split: Split, tmp_path: Path, calls: list[int]) -> None:
    first = TextColumn(split, "text", vocabulary()).read(torch.arange(6))
    assert sum(calls) == 6
    opened = open_source([tmp_path / "a.parquet", tmp_path / "b.parquet"])["train"]
    again = TextColumn(opened, "text", vocabulary()).read(torch.arange(6))
    assert sum(calls) == 6
    assert torch.equal(first, again)


def test_another_vocabulary_or_length_gives_other_ids(split: Split) -> None:
    for words in (vocabulary(), vocabulary(length=2), vocabulary(texts=["night night the"])):
        ids = TextColumn(split, "text", words).read(torch.arange(6))
        assert ids.tolist() == expected(words, TEXTS + MORE)


def test_a_changed_file_is_tokenised_anew(split: Split, tmp_path: Path) -> None:
    words = vocabulary()
    TextColumn(split, "text", words).read(torch.arange(6))
    datasets.Dataset.from_dict({"text": ["sees the owl"] * 3}).to_parquet(tmp_path / "a.parquet")
    changed = open_source(tmp_path / "a.parquet")["train"]
    assert TextColumn(changed, "text", words).read(torch.arange(3)).tolist() == expected(words, ["sees the owl"] * 3)


def test_texts_beside_other_columns_are_refused() -> None:
    tables = [datasets.Dataset.from_dict({"x": values}) for values in (["a"], [[1.0]])]
    with pytest.raises(DataError, match=r"'x' cannot be the input \(string, .*\).*same kind in each source"):
        open_input_column(open_source(tables)["train"], "x", vocabulary=vocabulary)


def test_large_strings_are_texts() -> None:
    features = datasets.Features({"text": datasets.Value("large_string")})
    table = datasets.Dataset.from_dict({"text": ["the owl"]}, features=features)
    words = vocabulary()
    column = open_input_column(open_source(table)["train"], "text", vocabulary=lambda: words)
    assert column.read(torch.tensor([0])).tolist() == expected(words, ["the owl"])
