"""Label columns of any kind, turned into names and then into targets."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from nested_lightning.data.sources import Split, Table
from nested_lightning.errors import DataError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy

Labels = list[str | None]


def taxonomy_of_columns(
    splits: Sequence[Split], columns: Sequence[str], levels: Sequence[str], allow_repeated_names: bool
) -> Taxonomy:
    """Build the taxonomy from the label columns (coarse to fine) of all ``splits``, in their order.

    Raises:
        TaxonomyError: the columns do not nest; see :meth:`Taxonomy.from_columns`.
    """
    tables = [table for split in splits for table in split.tables]
    cells = {
        level: [label for table in tables for label in read_labels(table, column)]
        for level, column in zip(levels, columns, strict=True)
    }
    try:
        return Taxonomy.from_columns(cells, allow_repeated_names=allow_repeated_names)
    except TaxonomyError as error:
        starts = accumulate((len(table.rows) for table in tables), initial=0)
        places = [f"{table.where()} from row {start} on" for table, start in zip(tables, starts, strict=False)]
        raise TaxonomyError(f"{error}. The rows are counted through: {'; '.join(places)}") from None


def read_labels(table: Table, column: str) -> Labels:
    """Return the labels of a column as text, None where the cell is empty or the column is missing.

    ``ClassLabel`` numbers become their names (-1, which the hub uses for hidden labels, is unknown). Whole
    numbers become text, also those that a missing value next to them has made floats.

    Raises:
        DataError: a cell that is neither text nor a whole number, or the number of a label that has no name.
    """
    import datasets

    if column not in table.rows.column_names:
        return [None] * len(table.rows)
    cells = table.rows.with_format(None).select_columns([column])[:][column]
    feature = table.rows.features[column]
    if isinstance(feature, datasets.ClassLabel):
        return [_named(cell, feature.names, table, column, row) for row, cell in enumerate(cells)]
    return [_as_text(cell, table, column, row) for row, cell in enumerate(cells)]


def _named(number: int | None, names: Sequence[str], table: Table, column: str, row: int) -> str | None:
    if number is None or number < 0:
        return None
    if number < len(names):
        return names[number]
    raise DataError(
        f"{table.where(row)}: column {column!r} holds the label number {number}, but there are names for 0 to "
        f"{len(names) - 1} only. Correct the number, or the names of the column"
    )


def _as_text(cell: Any, table: Table, column: str, row: int) -> str | None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, str):
        return cell if cell.strip() else None
    if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()):
        return str(cell) if isinstance(cell, bool) else str(int(cell))
    raise DataError(
        f"{table.where(row)}: column {column!r} holds {str(cell)[:40]!r} where a label is expected: text, a "
        "whole number, or nothing where it is unknown"
    )


def targets_of_leaf_column(split: Split, column: str, taxonomy: Taxonomy) -> Tensor:
    """Return the targets of a column whose names may be nodes of any level, or paths such as ``"a/b"``.

    Returns:
        ``LongTensor[len(split), n_levels]``, -1 = unknown.

    Raises:
        DataError: the column is missing, or a label is not in the taxonomy; names its first row.
    """
    known: dict[str | None, list[int]] = {None: [-1] * taxonomy.n_levels}
    targets = []
    for table in split.tables:
        if column not in table.rows.column_names:
            raise Split((table,)).missing_column(column, "data.label_columns")
        for row, label in enumerate(read_labels(table, column)):
            if label not in known:
                try:
                    known[label] = taxonomy.target(taxonomy.find(str(label)))
                except TaxonomyError as error:
                    raise DataError(f"{table.where(row)}, column {column!r}: {error}") from None
            targets.append(known[label])
    return torch.tensor(targets, dtype=torch.long)


def targets_of_level_columns(split: Split, columns: Sequence[str], taxonomy: Taxonomy) -> Tensor:
    """Return the targets of one column per level, coarse to fine; a column may be missing in some tables.

    Returns:
        ``LongTensor[len(split), n_levels]``, -1 = unknown.

    Raises:
        DataError: a label is not in the taxonomy or not below its parent; names its row.
    """
    targets = []
    for table in split.tables:
        cells = {level: read_labels(table, c) for level, c in zip(taxonomy.levels, columns, strict=True)}
        try:
            targets.append(taxonomy.targets_from_columns(cells))
        except TaxonomyError as error:
            raise DataError(f"{table.where()}: {error}") from None
    return torch.cat(targets)
