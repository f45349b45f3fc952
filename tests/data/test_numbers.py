"""Columns of numbers: the same values as float32, errors that name the row; and the choice of a reader."""

from typing import Any

import datasets
import numpy as np
import pytest
import torch
from helpers.errors import raises_naming

from nested_lightning.data.columns import find_input_column, open_input_column
from nested_lightning.data.images import ImageColumn
from nested_lightning.data.numbers import NumberColumn
from nested_lightning.data.sources import Split, open_source
from nested_lightning.errors import DataError

RANDOM = np.random.default_rng(0)


def split(values: Any, feature: Any = None, **others: Any) -> Split:
    features = datasets.Features({"x": feature}) if feature else None
    return open_source(datasets.Dataset.from_dict({"x": values, **others}, features=features))["train"]


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (RANDOM.normal(size=(6, 3)), None),
        (RANDOM.normal(size=(6, 2, 3)).astype(np.float32), None),
        (torch.randn(6, 4), None),
        (RANDOM.integers(0, 9, (6, 2)), datasets.List(datasets.Value("int64"), length=2)),
        (list(RANDOM.normal(size=(6, 2, 2)).astype(np.float32)), datasets.Array2D((2, 2), "float32")),
        ([[True, False]] * 6, None),
    ],
)
def test_values(values: Any, feature: Any) -> None:
    column = open_input_column(split(values, feature), "x")
    assert isinstance(column, NumberColumn)
    chosen = torch.tensor([0, 2, 5])
    numbers, expected = column.read(chosen), np.asarray(values, dtype=np.float32)
    assert numbers.dtype == torch.float32
    assert column.shape == expected.shape[1:]
    assert np.array_equal(numbers.numpy(), expected[chosen])
    assert column.read(chosen[:0]).shape == (0, *column.shape)


def test_plain_numbers_have_one_column() -> None:
    assert open_input_column(split([1, 2, 3]), "x").read(torch.arange(3)).tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([[1.0, 2.0], [1.0, 2.0], [float("nan"), 1.0]], ["row 2 of split 'train'", "'x'", "NaN"]),
        ([[1.0], [float("inf")]], ["row 1", "infinite"]),
        ([[1.0], [1e300]], ["row 1", "float32"]),
        ([1.0, None], ["row 1", "the cell is empty"]),
        ([[1.0, 2.0], None], ["row 1", "the cell is empty"]),
        ([[1.0, 2.0], [1.0, None]], ["row 1", "missing"]),
        ([[1.0, 2.0], [1.0]], ["row 1", "(1,)", "(2,)"]),
        ([[[1.0], [2.0]], [[1.0], []]], ["row 1", "regular"]),
    ],
)
def test_odd_rows_are_named(values: Any, parts: list[str]) -> None:
    with raises_naming(DataError, *parts):
        open_input_column(split(values), "x").read(torch.arange(len(values)))


def test_rows_must_match_the_shape_of_training() -> None:
    with pytest.raises(DataError, match=r"row 0.*\(2,\).*\(3,\)"):
        open_input_column(split([[1.0, 2.0]]), "x", shape=(3,)).read(torch.tensor([0]))


def test_the_only_image_column_is_found() -> None:
    assert find_input_column(open_source("digits")["train"]) == "image"
    assert isinstance(open_input_column(open_source("digits")["train"], "image"), ImageColumn)
    with pytest.raises(DataError, match=r"no image column.*data.input_column.*'x', 'y'"):
        find_input_column(split([1], y=["a"]))


def test_what_cannot_be_an_input() -> None:
    with pytest.raises(DataError, match=r"no column 'y'.*'x'"):
        open_input_column(split([1]), "y")
    with pytest.raises(DataError, match=r"'x' cannot be the input.*string"):
        open_input_column(split(["some text"]), "x")
    with pytest.raises(DataError, match=r"'label' cannot be the input"):
        open_input_column(open_source("digits")["train"], "label")
