"""A source together with what its labels mean: its splits, its taxonomy and the targets of its rows."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nested_lightning.data.labels import targets_of_leaf_column, targets_of_level_columns, taxonomy_of_columns
from nested_lightning.data.sources import Split, open_source
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.resources import resource

_LEAF_COLUMN = "label"
_SPLIT_ORDER = ("train", "validation", "test", "predict")


def load_taxonomy(taxonomy: Any) -> Taxonomy:
    """Return the taxonomy that a :class:`Taxonomy`, its ``to_dict`` form or the path of a YAML file means.

    Raises:
        TaxonomyError: it is none of these, or not a taxonomy.
        ConfigurationError: there is no such file.
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


class LabelledSource:
    """Reads splits and labels at the first use of each, and inputs never.

    Args:
        source: see :func:`~nested_lightning.data.sources.open_source`.
        taxonomy: see :func:`load_taxonomy`; None: built from the label columns.
        label_columns: one leaf column (a name), or one column per level, coarse to fine (a list). None: the
            level columns of the taxonomy, or else ``"label"``.
        levels: level names; they must be the taxonomy's, where one is given.
        allow_repeated_names: whether a name may stand under two parents when the taxonomy is built.
    """

    def __init__(
        self,
        source: Any,
        taxonomy: Any = None,
        label_columns: str | list[str] | None = None,
        levels: list[str] | None = None,
        allow_repeated_names: bool = False,
    ) -> None:
        self._source, self._taxonomy, self._columns = source, taxonomy, label_columns
        self._levels, self._allow_repeated_names = levels, allow_repeated_names
        self._targets: dict[str, Tensor] = {}

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return open_source(self._source)

    def split(self, name: str, remedy: str) -> Split:
        """Return a split; DataError with ``remedy`` where the source does not have it."""
        if name in self.splits:
            return self.splits[name]
        there = ", ".join(map(repr, self.splits))
        source = next(iter(self.splits.values())).tables[0].source
        raise DataError(f"{source} has no split {name!r}, only {there}: {remedy}")

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels; only where it is not given, the label columns of all splits are read."""
        if self._taxonomy is None:
            return self._taxonomy_of_columns()
        taxonomy = load_taxonomy(self._taxonomy)
        if self._levels is not None and tuple(self._levels) != taxonomy.levels:
            raise ConfigurationError(
                f"data.levels={list(self._levels)}, but the levels of data.taxonomy are "
                f"{list(taxonomy.levels)}: leave data.levels out"
            )
        if isinstance(self._columns, list) and len(self._columns) != taxonomy.n_levels:
            raise ConfigurationError(
                f"data.label_columns={self._columns}: give one column for each of the {taxonomy.n_levels} "
                f"levels {', '.join(taxonomy.levels)}, coarse to fine, or one leaf column as a plain name"
            )
        return taxonomy

    def targets(self, name: str) -> Tensor:
        """Return the labels of a split.

        Returns:
            ``LongTensor[N, n_levels]``, -1 = unknown.

        Raises:
            DataError: no label column, or a label that is not in the taxonomy.
        """
        if name not in self._targets:
            split, columns = self.splits[name], self.label_columns(self.splits[name])
            if isinstance(columns, str):
                self._targets[name] = targets_of_leaf_column(split, columns, self.taxonomy)
            else:
                self._targets[name] = targets_of_level_columns(split, columns, self.taxonomy)
        return self._targets[name]

    def unknown_targets(self, name: str) -> Tensor:
        """Return targets of -1 for every row of a split, without reading labels."""
        return torch.full((len(self.splits[name]), self.taxonomy.n_levels), -1)

    def _taxonomy_of_columns(self) -> Taxonomy:
        columns = self._columns
        if not isinstance(columns, list):
            raise ConfigurationError(
                "the labels have no taxonomy: set data.taxonomy to a YAML file, or data.label_columns to a "
                "list of columns, one for each level, coarse to fine"
            )
        if self._levels is not None and len(self._levels) != len(columns):
            raise ConfigurationError(f"data.levels={self._levels} must name each of data.label_columns={columns}")
        names = sorted(self.splits, key=lambda name: (*_SPLIT_ORDER, name).index(name))
        splits = [self.splits[name] for name in names]
        for column in columns:
            if not any(column in split.columns for split in splits):
                raise splits[0].missing_column(column, "data.label_columns")
        return taxonomy_of_columns(splits, columns, self._levels or columns, self._allow_repeated_names)

    def label_columns(self, split: Split) -> str | Sequence[str]:
        """Return the leaf column (text) or the column of each level (a sequence) of a split.

        Raises:
            DataError: a column is missing.
        """
        columns: str | Sequence[str] | None = self._columns
        if columns is None:
            levels = self.taxonomy.levels
            with_leaf = _LEAF_COLUMN in split.columns and not set(levels) <= set(split.columns)
            columns = _LEAF_COLUMN if with_leaf else levels
        if isinstance(columns, str):
            return columns
        for column in self._columns or ():
            if not any(column in other.columns for other in self.splits.values()):
                raise split.missing_column(column, "data.label_columns")
        if not set(columns) & set(split.columns):
            raise DataError(
                f"{split.where()} has no label column: neither {', '.join(map(repr, columns))} nor "
                f"{_LEAF_COLUMN!r}; its columns are {', '.join(map(repr, split.columns))}. Set "
                "data.label_columns to the leaf column, or to a list of one column for each level"
            )
        for table in split.tables:
            if not set(columns) & set(table.rows.column_names):
                raise DataError(
                    f"{table.where()} has none of the label columns {', '.join(map(repr, columns))} that another "
                    "source of this split has: give all sources labels of one kind, a leaf column or a column per level"
                )
        return columns
