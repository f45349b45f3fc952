"""Where the samples of a split come from: columns that name them in files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nested_lightning.data.labels import read_labels
from nested_lightning.data.sources import Split, Table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Origin:
    """The source, row and file of some rows of a split.

    Attributes:
        split: has the rows.
        rows: ascending row numbers, ``LongTensor[N]``.
        input_column: whose images may have files.
    """

    split: Split
    rows: Tensor
    input_column: str

    def columns(self, n: int) -> "dict[str, pa.Array | list[Any]]":
        """Return ``source``, ``row`` and, for images with names, ``file`` of the first ``n`` rows.

        Rows are numbered from 0 in each source, as in messages.
        """
        chunks = list(self.split.chunks(self.rows[:n]))
        files = [file for table, rows in chunks for file in _files(table, self.input_column, rows)]
        found: dict[str, pa.Array | list[Any]] = {
            "source": [table.source for table, rows in chunks for _ in rows],
            "row": [row for _, rows in chunks for row in rows],
        }
        if any(file is not None for file in files):
            found["file"] = files
        return found

    def copied(self, column: str, n: int) -> "pa.Array":
        """Return a column of the source for the first ``n`` rows, class labels as names; null where it is missing."""
        import pyarrow as pa

        arrays = list(self._copied(column, n))
        return pa.concat_arrays(arrays) if len({array.type for array in arrays}) == 1 else _joined(arrays)

    def require(self, columns: Sequence[str], argument: str) -> None:
        """Raise a DataError naming the first of the columns that no source has, which ``argument`` asks for."""
        for column in columns:
            if column not in self.split.columns:
                raise self.split.missing_column(column, argument)

    def _copied(self, column: str, n: int) -> "Iterator[pa.Array]":
        import datasets
        import pyarrow as pa

        for table, rows in self.split.chunks(self.rows[:n], size=n or 1):
            if isinstance(table.rows.features.get(column), datasets.ClassLabel):
                labels = read_labels(table, column)
                yield pa.array([labels[row] for row in rows], pa.string())
            elif column in table.rows.column_names:
                yield _cells(table, column, rows)
            else:
                yield pa.nulls(len(rows))


def _files(table: Table, column: str, rows: list[int]) -> list[str | None]:
    import datasets
    import pyarrow.compute as pc

    if not isinstance(table.rows.features[column], datasets.Image):
        return [None] * len(rows)
    return pc.struct_field(_cells(table, column, rows), "path").to_pylist()  # type: ignore[no-any-return]


def _cells(table: Table, column: str, rows: list[int]) -> "pa.Array":
    cells: pa.ChunkedArray = table.rows.with_format("arrow", columns=[column])[rows][column]
    cells = cells.combine_chunks()
    return getattr(cells, "storage", cells)  # arrays of numbers have a type of their own


def _joined(arrays: "Sequence[pa.Array]") -> "pa.Array":
    """Return arrays of different types one after the other: nulls take the type of the others, or all become text."""
    import pyarrow as pa

    types = {array.type for array in arrays if not pa.types.is_null(array.type)}
    kind = types.pop() if len(types) == 1 else pa.string()
    return pa.concat_arrays([array.cast(kind) for array in arrays])
