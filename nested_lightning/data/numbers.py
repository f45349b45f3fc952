"""Columns of numbers (features, vectors, arrays): float tensors as they are."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError


class NumberColumn:
    """Reads the numbers, lists or arrays of a column; all must have one shape.

    Args:
        split: where the column is.
        column: its name.
        shape: shape of one row that these rows have to match; None: the first row decides.
    """

    def __init__(self, split: Split, column: str, shape: tuple[int, ...] | None = None) -> None:
        self._split, self._column, self._given_shape = split, column, shape

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one row; a plain number has shape (1,)."""
        if self._given_shape is not None:
            return self._given_shape
        table = self._split.tables[0]
        return np.atleast_1d(_as_array(self._cells(table, [0])[0], table, 0, self._column)).shape

    def read(self, rows: Tensor) -> Tensor:
        """Read ``rows``, a ``LongTensor[N]`` of ascending row numbers.

        Returns:
            ``float32[N, *shape]``.

        Raises:
            DataError: a row is empty, has another shape, or holds NaN or an infinite value; names the row.
        """
        return torch.cat(
            [self._read_chunk(table, part) for table, part in self._split.chunks(rows, size=4096)]
        )

    def _cells(self, table: Table, rows: list[int]) -> list[object]:
        return table.rows.with_format(None).select_columns([self._column])[rows][self._column]  # type: ignore[no-any-return]

    def _read_chunk(self, table: Table, rows: list[int]) -> Tensor:
        values = []
        for row, cell in zip(rows, self._cells(table, rows), strict=True):
            array = np.atleast_1d(_as_array(cell, table, row, self._column))
            if array.shape != self.shape:
                raise DataError(
                    f"{table.where(row)}: column {self._column!r} has shape {array.shape}, while the first row "
                    f"has {self.shape}. All rows must have one shape: pad or cut them"
                )
            values.append(array)
        chunk = torch.from_numpy(np.stack(values))
        finite = chunk.flatten(1).isfinite().all(1)
        if not finite.all():
            row = rows[int((~finite).nonzero()[0])]
            raise DataError(
                f"{table.where(row)}: column {self._column!r} holds NaN or an infinite value "
                f"({int((~finite).sum())} such rows among {len(rows)}). Mend the values or drop the rows"
            )
        return chunk


def _as_array(cell: object, table: Table, row: int, column: str) -> np.ndarray:
    try:
        return np.asarray(cell, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{table.where(row)}: column {column!r} holds {str(cell)[:40]!r}, which is no number and no regular "
            f"list of numbers ({error}). Mend the value or drop the row"
        ) from error
