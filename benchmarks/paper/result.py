"""What a command finds, as it is written to JSON: figures of every seed beside the paper's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass
class Cell:
    """One cell: the figures of every seed in percent, the paper's beside them.

    Attributes:
        accuracy: one figure per seed.
        confidence: as ``accuracy``; empty where the table has none.
        paper: accuracy, or accuracy and confidence; empty where the paper has none.
    """

    accuracy: list[float]
    confidence: list[float] = field(default_factory=list)
    paper: list[float] = field(default_factory=list)


@dataclass
class Row:
    """One row of a table; a cell is None where there is nothing to run."""

    label: str
    cells: list[Cell | None]


@dataclass
class Result:
    """A table.

    Attributes:
        name: of the command.
        title: of the table.
        seeds: of the runs.
        columns: headings of the cells.
        rows: the rows.
        runs: per variant the options, and of every seed the wall time in seconds (None: resumed) and the device.
        versions: of the packages that trained, by variant where they differ.
        notes: what a reader must know.
        values: further figures, by names of their own.
        pictures: matplotlib figures by name; in JSON their names alone.
        least_spread: the spread that the paper's figures have at least, in the unit of the cells. The paper gives one
            bound for its standard deviations, 0.5 points in Table 1.
    """

    name: str
    title: str
    seeds: list[int]
    columns: list[str]
    rows: list[Row]
    runs: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)
    least_spread: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(replace(self, pictures={})), "pictures": list(self.pictures)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Result":
        """Return the result that :meth:`to_dict` gave, without the pictures themselves."""
        rows = [Row(row["label"], [None if c is None else Cell(**c) for c in row["cells"]]) for row in values["rows"]]
        return cls(**{**values, "rows": rows, "pictures": dict.fromkeys(values["pictures"])})


def percent(values: Sequence[float]) -> list[float]:
    """Return shares as percent, rounded to two decimals."""
    return [round(100 * value, 2) for value in values]
