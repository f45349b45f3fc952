"""The rows that all methods share: texts and targets of each split, read as training reads them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError, suggestion
from nested_lightning.taxonomy import Taxonomy

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Texts with ``targets`` int64 [N, n_levels], -1 = unknown."""

    texts: list[str]
    targets: Indices

    def known(self, level: int) -> "Rows":
        """Return the rows whose label is known at ``level``; -1 is the finest, so these are fully labelled."""
        chosen = np.flatnonzero(self.targets[:, level] >= 0)
        return Rows([self.texts[row] for row in chosen], self.targets[chosen])


@dataclass(frozen=True)
class Problem:
    """One source or several with a taxonomy and the splits train, validation and test."""

    data: LabelledSource
    input_column: str

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels."""
        return self.data.taxonomy

    @cached_property
    def train(self) -> Rows:
        """All rows that may be learned from; every level has two classes or more there.

        Raises:
            DataError: a level has fewer.
        """
        rows = self._rows("train")
        for level, name in enumerate(self.taxonomy.levels):
            n_classes = len(np.unique(rows.known(level).targets[:, level]))
            if n_classes < 2:
                raise DataError(
                    f"the training rows have {n_classes} class(es) at level {name!r}, a classifier needs 2: add rows "
                    "labelled to it, or leave the level out"
                )
        return rows

    @cached_property
    def validation(self) -> Rows:
        """The rows that settings are chosen by.

        Raises:
            DataError: no row is labelled to the finest level, by which one chooses.
        """
        rows = self._rows("validation")
        if not len(rows.known(-1).texts):
            raise DataError(
                f"the split 'validation' has no row labelled to {self.taxonomy.levels[-1]!r}, by which C is chosen: "
                "add some"
            )
        return rows

    def tests(self, sources: list[str] | None = None) -> dict[str, tuple[Table, Rows]]:
        """Return the test rows of each source by its name, as a table and as texts with targets.

        Args:
            sources: which ones; None: all.

        Raises:
            DataError: no split ``test``, or a source that has none.
        """
        tables = self._split("test").tables
        targets = self.data.targets("test").numpy()
        ends = np.cumsum([len(table.rows) for table in tables])
        parts = np.split(targets, ends[:-1])
        found = {
            table.source: (table, Rows(self._texts(table), part)) for table, part in zip(tables, parts, strict=True)
        }
        for name in sources or ():
            if name not in found:
                raise DataError(
                    f"--test_source {name!r} is not one of the sources with a split 'test': "
                    f"{', '.join(map(repr, found))}.{suggestion(name, found)}"
                )
        return {name: found[name] for name in sources or found}

    def _rows(self, name: str) -> Rows:
        split = self._split(name)
        texts = [text for table in split.tables for text in self._texts(table)]
        return Rows(texts, self.data.targets(name).numpy())

    def _split(self, name: str) -> Split:
        return self.data.split(name, "train, validation and test rows are needed, one split each")

    def _texts(self, table: Table) -> list[str]:
        if self.input_column not in table.rows.column_names:
            raise Split((table,)).missing_column(self.input_column, "--input_column")
        return [str(text) for text in table.rows.with_format(None)[:][self.input_column]]


def open_problem(source: Any, taxonomy: Any, label_columns: Any, input_column: str) -> Problem:
    """Return the problem of sources, taxonomy and columns as the data module takes them."""
    return Problem(LabelledSource(source, taxonomy, label_columns), input_column)
