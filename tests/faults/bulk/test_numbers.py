"""Columns of numbers give the array that numpy makes of each row, or a DataError that names the row."""

from typing import Any

import datasets
import numpy as np
import torch
from faults.bulk.outcomes import attempt, bulk, is_rejected
from faults.bulk.trees import mostly, typed_rows
from hypothesis import strategies as st

from nested_lightning.data.columns import open_input_column
from nested_lightning.data.sources import open_source

numbers = {
    "float64": st.floats(),
    "float32": st.floats(width=32),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int8": st.integers(-128, 127),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[Any, list[Any]]:
    """Draw a type of (lists of) numbers, and cells that are mostly finite and of one shape."""
    kind = draw(st.sampled_from(list(numbers)))
    usual = numbers[kind] if kind not in ("float64", "float32") else st.floats(-9, 9, width=32)
    number = mostly(usual, numbers[kind] | st.none())
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    feature: Any = datasets.Value(kind)
    cell: st.SearchStrategy[Any] = number
    for size in reversed(shape):
        fixed = draw(st.integers(0, 5)) == 0
        feature = datasets.Sequence(feature, length=size) if fixed and size else [feature]
        one = st.lists(cell, min_size=size, max_size=size)
        other = one if fixed and size else st.lists(cell, max_size=4) | st.none()
        cell = mostly(one, other)
    return feature, draw(st.lists(mostly(cell, st.none()), min_size=1, max_size=6))


@bulk(1200, column=columns(), part=st.lists(st.booleans(), min_size=6, max_size=6))
def test_columns(column: tuple[Any, list[Any]], part: list[bool]) -> bool:
    feature, cells = column
    split = open_source(typed_rows("x", feature, cells))["train"]
    rows = [row for row in range(len(cells)) if part[row]]
    values = attempt(lambda: open_input_column(split, "x").read(torch.tensor(rows, dtype=torch.long)))
    shape = array(cells[0]).shape if array(cells[0]) is not None else None
    wanted = [array(cells[row]) for row in rows]
    is_valid = shape is not None and all(a is not None and a.shape == shape and np.isfinite(a).all() for a in wanted)
    if not is_valid:
        assert is_rejected(values)
        assert "row " in str(values)
        return False
    assert not is_rejected(values), values
    assert values.dtype == torch.float32
    assert values.shape == (len(rows), *shape)
    assert all(np.array_equal(a, b) for a, b in zip(values.numpy(), wanted, strict=True))
    return True


def array(cell: Any) -> np.ndarray | None:
    try:
        return None if cell is None else np.atleast_1d(np.array(cell, dtype=np.float32))
    except (TypeError, ValueError):
        return None
