"""Read columns of numbers (features, vectors, arrays) as float tensors."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def are_mostly_numbers(table: Table, column: str) -> bool:
    """Return whether most of the first 1,000 cells of a column of text that are not empty are numbers."""
    cells = _cells(table, column, list(range(min(1000, len(table.rows))))).drop_null().to_pylist()
    return 2 * sum(map(_is_number, cells)) > len(cells)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cells(table: Table, column: str, rows: list[int]) -> "pa.Array":
    cells = table.rows.with_format("arrow", columns=[column])[rows][column]
    return cells.combine_chunks()


@dataclass
class NumberColumn:
    """Reads the numbers, lists or arrays of a column, or numbers written as text; all must have one shape.

    Args:
        split: has the column.
        column: its name.
        given_shape: shape that every row must have; None: that of the first row.
    """

    split: Split
    column: str
    given_shape: tuple[int, ...] | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one row; a plain number has shape (1,)."""
        if self.given_shape is not None:
            return self.given_shape
        table = self.split.tables[0]
        return self._as_array(_cells(table, self.column, [0])[0].as_py(), table, 0).shape

    def read(self, rows: Tensor) -> Tensor:
        """Read ``rows``, a ``LongTensor[N]`` of ascending row numbers, as ``float32[N, *shape]``.

        Raises:
            DataError: a row is empty, has another shape, or holds NaN or an infinite value; names the row.
        """
        chunks = [self._read_chunk(table, part) for table, part in self.split.chunks(rows, size=4096)]
        return torch.cat([torch.empty(0, *self.shape), *chunks])

    def _read_chunk(self, table: Table, rows: list[int]) -> Tensor:
        cells = _cells(table, self.column, rows)
        values = _regular(cells)
        if values is None or values.shape[1:] != self.shape:
            values = self._row_by_row(table, rows, cells)
        chunk = torch.tensor(values, dtype=torch.float32)
        finite = chunk.flatten(1).isfinite().all(1)
        if not finite.all():
            row = rows[int((~finite).nonzero()[0])]
            raise DataError(
                f"{table.where([row])}: column {self.column!r} holds a missing, NaN or infinite value, or one "
                "too large for float32. Fix the value or drop the row"
            )
        return chunk

    def _row_by_row(self, table: Table, rows: list[int], cells: "pa.Array") -> np.ndarray:
        arrays = [self._as_array(cell, table, row) for row, cell in zip(rows, cells.to_pylist(), strict=True)]
        for row, array in zip(rows, arrays, strict=True):
            if array.shape != self.shape:
                raise DataError(
                    f"{table.where([row])}: column {self.column!r} has shape {array.shape}, while the "
                    f"first training row has {self.shape}. All rows must have one shape: pad or cut them"
                )
        return np.stack(arrays)

    def _as_array(self, cell: object, table: Table, row: int) -> np.ndarray:
        try:
            if cell is None:
                raise ValueError("the cell is empty")
            return np.atleast_1d(np.asarray(cell, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{table.where([row])}: column {self.column!r} holds {str(cell)[:40]}, which is neither a number nor "
                f"a regular list of numbers ({error}). Fix the value or drop the row"
            ) from error


def _regular(cells: "pa.Array") -> np.ndarray | None:
    """Return the numbers ``[N, *shape]``, or None if a cell is empty or has another shape than the rest.

    Numbers stay in Arrow's buffers: ``with_format("numpy")`` takes forty times as long for lists of lists.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = cells.storage if isinstance(cells, pa.ExtensionArray) else cells
    if pa.types.is_string(cells.type):
        try:
            cells = pc.cast(pc.utf8_trim_whitespace(cells), pa.float64())
        except pa.ArrowInvalid:
            return None
    shape = [len(cells)]
    while pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type) or pa.types.is_fixed_size_list(cells.type):
        lengths = pc.list_value_length(cells).unique().to_pylist()
        if cells.null_count or len(lengths) != 1:
            return None
        shape.append(lengths[0])
        cells = cells.flatten()
    if cells.null_count:
        return None
    numbers: np.ndarray = cells.to_numpy(zero_copy_only=False)
    return numbers.reshape(shape if len(shape) > 1 else (-1, 1))
