"""The result of a command as it is written to JSON: the values of every seed beside the paper's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass
class Cell:
    """One cell: the values of every seed in percent, and the paper's.

    Attributes:
        accuracy: one value per seed.
        confidence: as ``accuracy``; empty if the table has none.
        paper: accuracy, or accuracy and confidence; empty if the paper has none.
    """

    accuracy: list[float]
    confidence: list[float] = field(default_factory=list)
    paper: list[float] = field(default_factory=list)


@dataclass
class Row:
    """One row of a table; a cell is None if there is nothing to run."""

    label: str
    cells: Sequence[Cell | None]


@dataclass(kw_only=True)
class Result:
    """A table, a figure, or both.

    Attributes:
        name: of the command; set by it, as are ``seeds``, ``runs`` and ``versions``.
        title: of the table.
        seeds: of the runs.
        columns: headings of the cells.
        rows: the rows.
        runs: per variant the options, and for every seed the wall time in seconds (None: resumed) and the device.
        versions: of the packages used in training, comma-separated if they differ.
        notes: what a reader must know.
        values: further values, by name.
        pictures: matplotlib figures by name; in JSON only their names.
        least_spread: the least spread assumed for the paper's values, in the unit of the cells. The paper gives one
            bound for its standard deviations, 0.5 points in Table 1.
    """

    name: str = ""
    title: str
    seeds: list[int] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    runs: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)
    least_spread: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {**asdict(replace(self, pictures={})), "pictures": list(self.pictures)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Result":
        """Return the result that :meth:`to_dict` was called on, without the pictures themselves."""
        rows = [Row(row["label"], [None if c is None else Cell(**c) for c in row["cells"]]) for row in values["rows"]]
        return cls(**{**values, "rows": rows, "pictures": dict.fromkeys(values["pictures"])})


def percent(shares: Sequence[float]) -> list[float]:
    """Return shares as percent, rounded to two decimals."""
    return [round(100 * share, 2) for share in shares]
