"""Rows are named by their source, number, file, and any column of the source."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from helpers.commands import write_image
from helpers.errors import raises_naming

from nested_lightning.data.origin import Origin
from nested_lightning.data.sources import open_source
from nested_lightning.errors import DataError

CLASSES = datasets.Features({"x": datasets.Value("int32"), "label": datasets.ClassLabel(names=["owl", "cod"])})


def origin(source: Any, column: str, rows: list[int] | None = None, split: str = "train") -> Origin:
    opened = open_source(source)[split]
    return Origin(opened, torch.arange(len(opened)) if rows is None else torch.tensor(rows), column)


def test_images_in_folders_have_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "owl/c.png"):
        write_image(tmp_path / name)
    source, files = str(tmp_path), [str(tmp_path / name) for name in ("a.png", "b.png", "owl/c.png")]
    assert origin(tmp_path, "image").columns(3) == {"source": [source] * 3, "row": [0, 1, 2], "file": files}
    some = origin(tmp_path, "image", [0, 2])
    assert some.columns(2) == {"source": [source] * 2, "row": [0, 2], "file": [files[0], files[2]]}


def test_rows_are_those_of_their_source(tmp_path: Path) -> None:
    table = datasets.Dataset.from_dict({"x": [1, 2], "id": ["p", "q"]})
    table.to_parquet(tmp_path / "a.parquet")
    both = origin([tmp_path / "a.parquet", table.remove_columns("id")], "x")
    source = str(tmp_path / "a.parquet")
    assert both.columns(4) == {"source": [source] * 2 + ["the given Dataset"] * 2, "row": [0, 1, 0, 1]}
    assert both.copied("id", 4).to_pylist() == ["p", "q", None, None]
    assert both.copied("x", 3).to_pylist() == [1, 2, 1]
    mixed = origin([table, datasets.Dataset.from_dict({"x": [1], "id": [7]})], "x")
    assert mixed.copied("id", 3).to_pylist() == ["p", "q", "7"]


def test_labels_and_arrays_are_copied_as_they_are_meant() -> None:
    table = datasets.Dataset.from_dict({"x": [1, 2, 3], "label": [1, -1, 0]}, features=CLASSES)
    assert origin(table, "x").copied("label", 3).to_pylist() == ["cod", None, "owl"]
    arrays = datasets.Features({"x": datasets.Array2D((1, 2), "float32")})
    table = datasets.Dataset.from_dict({"x": [[[1.0, 2.0]], [[3.0, 4.0]]]}, features=arrays)
    assert origin(table, "x").copied("x", 2).to_pylist() == [[[1, 2]], [[3, 4]]]


def test_a_missing_column_is_named() -> None:
    rows = origin(datasets.Dataset.from_dict({"x": [1], "photographer": ["Ada"]}), "x")
    rows.require(["photographer"], "predictions.columns")
    with raises_naming(DataError, "'photograph'", "predictions.columns", "Did you mean 'photographer'"):
        rows.require(["photograph"], "predictions.columns")


@pytest.mark.parametrize("n", [1, 3])
def test_only_the_rows_that_were_predicted(n: int) -> None:
    rows = origin(datasets.Dataset.from_dict({"x": [1, 2, 3]}), "x")
    assert rows.columns(n)["row"] == list(range(n)) and len(rows.copied("x", n)) == n
