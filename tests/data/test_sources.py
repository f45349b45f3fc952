"""Sources of every kind can be opened, or raise an error that names the place."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from helpers.errors import raises_naming
from PIL import Image

from nested_lightning.data.sources import open_source
from nested_lightning.errors import DataError

ROWS = {"x": [1.0, 2.0, 3.0], "label": ["a", "b", "a"]}


@pytest.fixture
def table() -> datasets.Dataset:
    return datasets.Dataset.from_dict(ROWS)


def sizes(source: Any) -> dict[str, int]:
    return {name: len(split) for name, split in open_source(source).items()}


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    (split,) = open_source("digits").values()
    rows = split.tables[0].rows
    pixels = np.stack([np.asarray(image) for image in rows["image"]])
    assert np.array_equal(np.rint(pixels / 255 * 16), load_digits().images)
    assert rows["label"][:] == load_digits().target.tolist()
    assert rows.features["label"].names == [str(i) for i in range(10)]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_files(table: datasets.Dataset, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    {
        "csv": lambda: table.to_csv(path),
        "tsv": lambda: table.to_csv(path, sep="\t"),
        "json": lambda: path.write_text(json.dumps(table.to_list())),
        "jsonl": lambda: table.to_json(path),
        "parquet": lambda: table.to_parquet(path),
    }[suffix]()
    for source in (path, str(path)):
        split = open_source(source)["train"]
        assert split.columns == ["x", "label"]
        assert split.tables[0].rows["label"][:] == ROWS["label"]


def test_folders(table: datasets.Dataset, tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    table.to_parquet(tmp_path / "parquet" / "train.parquet")
    table.to_parquet(tmp_path / "parquet" / "test.parquet")
    assert sizes(tmp_path / "parquet") == {"train": 3, "test": 3}
    datasets.DatasetDict(train=table, dev=table).save_to_disk(tmp_path / "saved")
    assert sizes(tmp_path / "saved") == {"train": 3, "validation": 3}
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "images" / name / "1.png")
    rows = open_source(tmp_path / "images")["train"].tables[0].rows
    assert isinstance(rows.features["image"], datasets.Image)
    assert rows.features["label"].names == ["cat", "dog"]


def test_objects_and_lists(table: datasets.Dataset, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "a.csv")
    table.to_csv(tmp_path / "b.csv")
    a, b = str(tmp_path / "a.csv"), tmp_path / "b.csv"
    assert sizes(table) == {"train": 3}
    assert sizes(datasets.DatasetDict(train=table, val=table)) == {"train": 3, "validation": 3}
    assert sizes([a, table]) == {"train": 6}
    assert sizes({"train": [a, b], "test": table}) == {"train": 6, "test": 3}
    assert sizes({"predict": datasets.DatasetDict(train=table, predict=table)}) == {"predict": 3}


def test_rows_are_numbered_through_and_located(table: datasets.Dataset, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "a.csv")
    split = open_source([table, tmp_path / "a.csv"])["train"]
    assert split.where([4]) == f"row 1 of split 'train' of {tmp_path / 'a.csv'}"
    assert split.where([5, 0, 3, 1]) == f"rows 0-1 of {split.tables[0].where()}; rows 0, 2 of {split.tables[1].where()}"
    chunks = [(t.source, rows) for t, rows in split.chunks(torch.tensor([0, 2, 3, 4, 5]), size=2)]
    assert chunks == [
        ("the given Dataset", [0, 2]),
        (str(tmp_path / "a.csv"), [0, 1]),
        (str(tmp_path / "a.csv"), [2]),
    ]


def fails(source: Any, *parts: str) -> None:
    with raises_naming(DataError, *parts):
        open_source(source)


def test_neither_path_nor_hub(tmp_path: Path) -> None:
    for source in ("no/such", str(tmp_path / "none"), "./none.csv"):
        fails(source, repr(source), "not a file or folder", "hub", "Correct the path")


def test_corrupt_parquet_is_named(table: datasets.Dataset, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "train.parquet")
    (tmp_path / "test.parquet").write_bytes((tmp_path / "train.parquet").read_bytes()[:-20])
    fails(tmp_path, str(tmp_path / "test.parquet"), "cannot be read")
    fails(tmp_path / "test.parquet", str(tmp_path / "test.parquet"), "cannot be read")


def test_other_failures(table: datasets.Dataset, tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").write_text("x,label\n")
    fails(tmp_path / "a.xls", "'.xls'", ".parquet")
    fails(tmp_path / "empty", str(tmp_path / "empty"), "cannot be read")
    fails(tmp_path / "empty.csv", str(tmp_path / "empty.csv"), "no data")
    fails(table.select([]), "has no rows")
    fails([], "list", "hub id")
    fails(7, "int", "hub id")
    fails(table.to_iterable_dataset(), "IterableDataset", "without streaming")
    fails({"val": table.with_transform(lambda rows: rows)}, "split 'validation'", "with_transform", "data.transform")
    fails({"test": datasets.DatasetDict(a=table, b=table)}, "'test'", "'a', 'b'")
