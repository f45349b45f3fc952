"""The label cells of all rows of a source, each with its place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from nested_lightning.data.labels import read_labels
from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import ConfigurationError

Row = tuple[str | None, ...]
_MOST_RANGES = 12
_LEAF_COLUMN = "label"


@dataclass(frozen=True)
class Cells:
    """Labels of the rows of all splits.

    Attributes:
        columns: one leaf column, or one column per level, coarse to fine.
        rows: label per column, None = unknown.
        places: table and row number in it, for each of ``rows``.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    places: list[tuple[Table, int]]

    def numbers(self) -> dict[Row, list[int]]:
        """Return the different rows with the numbers at which they occur."""
        found: dict[Row, list[int]] = {}
        for number, row in enumerate(self.rows):
            found.setdefault(row, []).append(number)
        return found

    def where(self, numbers: Iterable[int]) -> str:
        """Return the places of rows in words: table by table, neighbours put together."""
        places = [self.places[number] for number in sorted(numbers)]
        parts = []
        for _, group in groupby(places, key=lambda place: id(place[0])):
            same = list(group)
            rows = [row for _, row in same]
            parts.append(f"{same[0][0].where()}, row{'s' * (len(rows) > 1)} {_ranges(rows)}")
        return "; ".join(parts)


def read_cells(splits: Mapping[str, Split], columns: Sequence[str] | None, levels: Sequence[str] | None) -> Cells:
    """Read the label columns of all splits.

    Args:
        splits: of a source.
        columns: their names. None: those named as the levels, else ``label``.
        levels: of the taxonomy that the labels belong to, if there is one.

    Raises:
        ConfigurationError: there is neither one column nor one for each level.
        DataError: no split has a column of this name.
    """
    there = list(dict.fromkeys(name for split in splits.values() for name in split.columns))
    if columns is None:
        by_level = levels is not None and (_LEAF_COLUMN not in there or set(levels) <= set(there))
        columns = levels if levels is not None and by_level else [_LEAF_COLUMN]
    if levels is not None and len(columns) not in (1, len(levels)):
        raise ConfigurationError(
            f"--label_columns {' '.join(columns)}: give one column, or one for each of the levels {', '.join(levels)}"
        )
    tables = [table for split in splits.values() for table in split.tables]
    for column in columns:
        if column not in there:
            raise Split(tuple(tables)).missing_column(column, "--label_columns")
    rows: list[Row] = []
    places: list[tuple[Table, int]] = []
    for table in tables:
        rows += zip(*(read_labels(table, column) for column in columns), strict=True)
        places += [(table, row) for row in range(len(table.rows))]
    return Cells(tuple(columns), rows, places)


def _ranges(rows: Sequence[int]) -> str:
    """Return ascending numbers in words.

    Example:
        >>> _ranges([0, 1, 2, 5])
        '0-2, 5'
    """
    ends: list[list[int]] = []
    for row in rows:
        if ends and ends[-1][1] == row - 1:
            ends[-1][1] = row
        else:
            ends.append([row, row])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ends[:_MOST_RANGES]]
    left = sum(last - first + 1 for first, last in ends[_MOST_RANGES:])
    return ", ".join(shown) + (f" and {left} more" if left else "")
