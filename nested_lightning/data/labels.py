"""A source with its labels: its splits, its taxonomy, and the targets of its rows."""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from nested_lightning.data.folders import find_class, leaf_paths
from nested_lightning.data.reading import (
    READING,
    Labels,
    ReadOptions,
    interpret,
    normalized,
    spellings,
    warn_of_odd_labels,
)
from nested_lightning.data.sources import Split, Table, open_source
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError, examples
from nested_lightning.taxonomy import Path, Taxonomy, build
from nested_lightning.taxonomy.names import clean
from nested_lightning.utils.resources import resource

_LEAF_COLUMN = "label"
_EXACT = 2**53
"""From here on, not every whole number is a float of its own."""
_SPLIT_ORDER = ("train", "validation", "test", "predict")


def load_taxonomy(taxonomy: Any) -> Taxonomy:
    """Return a taxonomy given as a :class:`Taxonomy`, its ``to_dict`` form, or the path of a YAML file.

    Raises:
        TaxonomyError: it is none of these, or not a taxonomy.
        ConfigurationError: the file does not exist.
    """
    if isinstance(taxonomy, Taxonomy):
        return taxonomy
    if isinstance(taxonomy, dict):
        return Taxonomy.from_dict(taxonomy)
    if isinstance(taxonomy, str | os.PathLike):
        return Taxonomy.from_yaml(resource(os.fspath(taxonomy)))
    raise TaxonomyError(
        f"data.taxonomy cannot be {taxonomy!r}: give the path of a YAML file, a Taxonomy, or its to_dict() form"
    )


def read_labels(table: Table, column: str, reading: ReadOptions = READING) -> Labels:
    """Return the labels of a column as text, None where the cell is empty or the column is missing.

    Texts are as they are written, but without blanks around them, in the Unicode form NFC, and as ``reading`` has
    missing labels and paths. ``ClassLabel`` numbers become their names (-1, which the hub uses for
    hidden labels, is unknown). Whole numbers become text, including those that a missing value in the column has
    turned into floats that are still exact.

    Raises:
        DataError: a cell is neither text nor a whole number, or a label number has no name; names the row.
    """
    import datasets

    if column not in table.rows.column_names:
        return [None] * len(table.rows)
    cells = table.rows.with_format(None).select_columns([column])[:][column]
    feature = table.rows.features[column]
    names = feature.names if isinstance(feature, datasets.ClassLabel) else None
    labels = []
    for row, cell in enumerate(cells):
        try:
            labels.append(_as_text(cell, names))
        except ValueError as error:
            raise DataError(f"{table.where([row])}: column {column!r} holds {error}") from None
    return interpret(labels, reading, f"{table.where()}, column {column!r}")


def _as_text(cell: Any, names: Sequence[str] | None) -> str | None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if names is not None:
        if cell >= len(names):
            raise ValueError(
                f"the label number {cell}, but there are names for 0 to {len(names) - 1} only. Correct the number, "
                "or the names of the column"
            )
        return clean(names[cell]) if cell >= 0 else None
    if isinstance(cell, str):
        return clean(cell) or None
    if isinstance(cell, float) and abs(cell) >= _EXACT and math.isfinite(cell):
        raise ValueError(f"the float {cell}, whose last digits may be lost. Store numbers as long as this as text")
    if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()):
        return str(cell) if isinstance(cell, bool) else str(int(cell))
    raise ValueError(
        f"{str(cell)[:40]!r} where a label is expected: text, a whole number, or an empty cell for an unknown label"
    )


class LabelledSource:
    """Read the splits and labels of a source when they are first needed; never read its inputs.

    Args:
        source: see :func:`~nested_lightning.data.sources.open_source`.
        taxonomy: see :func:`load_taxonomy`; None: built from the label columns, or from the folders of images.
        label_columns: one leaf column (a name), or one column per level, coarse to fine (a list). None: the
            columns named as the taxonomy's levels, or else ``"label"``.
        levels: level names; they must be the taxonomy's, where one is given.
        allow_repeated_names: whether a name may stand under two parents when the taxonomy is built.
        reading: how files of text are read, and which texts are labels.
        argument: how messages call ``label_columns``.
    """

    def __init__(
        self,
        source: Any,
        taxonomy: Any = None,
        label_columns: str | list[str] | None = None,
        levels: list[str] | None = None,
        allow_repeated_names: bool = False,
        reading: ReadOptions = READING,
        argument: str = "data.label_columns",
    ) -> None:
        self._reading = reading
        self._source, self._taxonomy, self._columns = source, taxonomy, label_columns
        self._levels, self._allow_repeated_names, self._argument = levels, allow_repeated_names, argument
        self._targets: dict[str, Tensor] = {}
        self._cells: dict[tuple[Table, str], Labels] = {}
        self._spellings: dict[str, dict[str, str]] = {}
        if isinstance(label_columns, list) and len(set(label_columns)) < len(label_columns):
            raise ConfigurationError(f"{argument}={label_columns} names a column twice: give one for each level")

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return open_source(self._source, self._reading)

    @cached_property
    def all_rows(self) -> Split:
        """The rows of all splits one after the other, those of ``train`` first."""
        names = sorted(self.splits, key=lambda name: (*_SPLIT_ORDER, name).index(name))
        return Split(tuple(table for name in names for table in self.splits[name].tables))

    @property
    def labelled_by_folders(self) -> bool:
        """Whether the labels are the folders of images, which form a tree without a taxonomy or label columns."""
        return self._columns in (None, _LEAF_COLUMN) and all(table.folder_labels for table in self.all_rows.tables)

    def split(self, name: str, remedy: str) -> Split:
        """Return a split; DataError with ``remedy`` if the source does not have it."""
        if name in self.splits:
            return self.splits[name]
        known = ", ".join(map(repr, self.splits))
        raise DataError(f"{self.all_rows.tables[0].source} has no split {name!r}, only {known}: {remedy}")

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels; the labels of all splits are read only if it is not given."""
        if self._taxonomy is None and self.labelled_by_folders:
            return self._tree_of_folders()
        if self._taxonomy is None:
            leaves, contradictions = self._leaves_of_columns()
            build.raise_first(contradictions)
            return Taxonomy(self._levels or list(self._columns or ()), leaves)
        taxonomy = load_taxonomy(self._taxonomy)
        if self._levels is not None and tuple(self._levels) != taxonomy.levels:
            raise ConfigurationError(
                f"data.levels={list(self._levels)}, but the levels of data.taxonomy are "
                f"{list(taxonomy.levels)}: leave data.levels out"
            )
        if isinstance(self._columns, list) and len(self._columns) != taxonomy.n_levels:
            raise ConfigurationError(
                f"{self._argument}={self._columns}: give one leaf column as a plain name, or "
                f"{taxonomy.n_levels} columns, one for each of the levels {', '.join(taxonomy.levels)}"
            )
        return taxonomy

    def targets(self, name: str) -> Tensor:
        """Return the labels of a split, ``LongTensor[N, n_levels]``, -1 = unknown.

        Raises:
            DataError: there is no label column, or a label contradicts the taxonomy; names the rows of the first one.
        """
        if name not in self._targets:
            targets, contradictions = self._match(self.splits[name])
            build.raise_first(contradictions, DataError)
            self._targets[name] = targets
        return self._targets[name]

    def contradictions(self) -> list[str]:
        """Return every contradiction between the labels of all splits and the taxonomy, with its rows.

        If no taxonomy is given, the label columns are compared with one another.
        """
        if self._taxonomy is None and not self.labelled_by_folders:
            return self._leaves_of_columns()[1]
        wanted = [self._columns] if isinstance(self._columns, str) else self._columns
        names = set(wanted or (*self.taxonomy.levels, _LEAF_COLUMN))
        labelled = tuple(table for table in self.all_rows.tables if names & set(table.rows.column_names))
        return self._match(Split(labelled or self.all_rows.tables))[1]

    def label_columns(self, split: Split) -> str | Sequence[str]:
        """Return the name of a split's leaf column, or a sequence of one name per level; DataError if missing."""
        columns: str | Sequence[str] | None = self._columns
        if columns is None:
            columns = self.taxonomy.levels
            if _LEAF_COLUMN in split.columns and not set(columns) <= set(split.columns):
                columns = _LEAF_COLUMN
        if isinstance(columns, str):
            split.require(columns, self._argument)
            return columns
        for column in self._columns or ():
            if column not in self.all_rows.columns:
                raise split.missing_column(column, self._argument)
        for table in split.tables:
            if not set(columns) & set(table.rows.column_names):
                raise DataError(
                    f"{table.where()} has no label column: neither {', '.join(map(repr, columns))} nor "
                    f"{_LEAF_COLUMN!r}; its columns are {', '.join(map(repr, table.rows.column_names))}"
                    f"{' (the images are not in folders of classes)' * (table.rows.column_names == ['image'])}. Set "
                    f"{self._argument} to the leaf column, or to a list of one column for each level, and give all "
                    "sources of a split labels of one kind"
                )
        return columns

    def _match(self, split: Split) -> tuple[Tensor, list[str]]:
        """Return the targets of a split, and every contradiction with the taxonomy."""
        taxonomy, columns = self.taxonomy, self.label_columns(split)
        if isinstance(columns, str):
            labels = self.labels(split, columns)
            if not any(table.folder_labels for table in split.tables):
                return build.targets_from_labels(taxonomy, columns, labels, split.where)
            find = partial(find_class, taxonomy)
            targets, contradictions = build.targets_from_labels(taxonomy, columns, labels, split.where, find)
            _warn_of_other_folders(taxonomy, {label for label in labels if label is not None}, split.where())
            return targets, contradictions
        cells = {column: self.labels(split, column) for column in columns}
        return build.targets_from_columns(taxonomy, cells, split.where, range(taxonomy.n_levels))

    def _tree_of_folders(self) -> Taxonomy:
        """Return the tree of the folders that images are in; ConfigurationError if these have one level only."""
        labels = {label for label in self.labels(self.all_rows, _LEAF_COLUMN) if label is not None}
        leaves = leaf_paths(tuple(label.split("/")) for label in sorted(labels))
        if max(map(len, leaves)) < 2:
            raise ConfigurationError(
                f"the class folders of {self.all_rows.tables[0].source} have one level and no taxonomy: set "
                "data.taxonomy to a YAML file, or put the folders into those of coarser classes"
            )
        return Taxonomy(self._levels or build.numbered_levels(leaves), leaves)

    def _leaves_of_columns(self) -> tuple[list[Path], list[str]]:
        """Return the leaf paths in the label columns of all splits, and every contradiction among the columns."""
        columns = self._columns
        if not isinstance(columns, list):
            raise ConfigurationError(
                f"the labels have no taxonomy: set data.taxonomy to a YAML file, or {self._argument} to a list of "
                "columns, one for each level, coarse to fine"
            )
        if self._levels is not None and len(self._levels) != len(columns):
            raise ConfigurationError(f"levels={self._levels} must name each of {self._argument}={columns}")
        for column in columns:
            if column not in self.all_rows.columns:
                raise self.all_rows.missing_column(column, self._argument)
        cells = {column: self.labels(self.all_rows, column) for column in columns}
        for column, labels in cells.items():
            warn_of_odd_labels(labels, column, self.all_rows.where)
        return build.leaves_from_columns(cells, self._allow_repeated_names, self.all_rows.where)

    def labels(self, split: Split, column: str) -> Labels:
        """Return the labels of a split, read once, in one spelling if asked for."""
        for table in split.tables:
            if (table, column) not in self._cells:
                self._cells[table, column] = self._read_table(table, column)
        return [label for table in split.tables for label in self._cells[table, column]]

    def _read_table(self, table: Table, column: str) -> Labels:
        labels = read_labels(table, column, self._reading)
        if not self._reading.normalize:
            return labels
        if column not in self._spellings:
            tree = None if self._taxonomy is None else self.taxonomy
            every = (label for one in self.all_rows.tables for label in read_labels(one, column) if tree is None)
            self._spellings[column] = spellings(tree, every)
        return normalized(labels, self._spellings[column], f"{table.where()}, column {column!r}")


def _warn_of_other_folders(taxonomy: Taxonomy, labels: set[str], where: str) -> None:
    """Warn of folder paths with folders that are not classes above the one that the last folder names."""
    found = []
    for label in sorted(labels):
        with suppress(TaxonomyError):
            node = find_class(taxonomy, label)
            if label != node[-1] and not set(label.split("/")) <= set(node):
                found.append(f"{label!r} as {'/'.join(node)!r}")
    if found:
        many = f"{len(found)} folder paths are matched by the name of the last folder"
        rank_zero_warn(f"{where}: {many}: {examples(found)}")
