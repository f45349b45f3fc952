"""All contradictions between labels: with a taxonomy, or among the columns of a table."""

from collections.abc import Callable, Iterable

from nested_lightning.cli.taxonomy.labels import Cells, Row
from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Taxonomy

Numbers = list[int]


def labels_against_taxonomy(cells: Cells, taxonomy: Taxonomy) -> list[str]:
    """Return one text for each label that does not fit, with all its rows.

    Args:
        cells: of one column of labels of any level, or of one column per level of the taxonomy.
        taxonomy: what the labels should fit.
    """
    if len(cells.columns) == 1:
        return _refusals(cells, cells.numbers().items(), lambda row: _found(row[0], taxonomy))
    return _refusals(cells, cells.numbers().items(), lambda row: _fitted(row, taxonomy))


def columns_against_each_other(cells: Cells, allow_repeated_names: bool = False) -> list[str]:
    """Return one text for each contradiction among one column per level, coarse to fine, with all its rows.

    Labels under two parents; finest labels of rows with a gap that no row without one has, so that the gap cannot be
    filled; rows with a gap whose labels contradict the tree that the rows without one make up.

    Raises:
        TaxonomyError: the rows without a gap make no taxonomy, such as one with an empty finest level.
    """
    numbers = cells.numbers()
    whole = {row: rows for row, rows in numbers.items() if not _has_gap(row)}
    paths = _paths(whole)
    texts = [] if allow_repeated_names else _under_two_parents(cells, paths)
    names = {(len(path), path[-1]) for path in paths}
    left = []
    unfilled: dict[tuple[int, str], Numbers] = {}
    for row, rows in numbers.items():
        if not _has_gap(row):
            continue
        finest = max(level for level, label in enumerate(row) if label is not None)
        if (finest + 1, str(row[finest])) in names:
            left.append((row, rows))
        else:
            unfilled.setdefault((finest, str(row[finest])), []).extend(rows)
    texts += [
        f"{cells.where(rows)}: column {cells.columns[level]!r} has {label!r}, a coarser column is empty, and no row "
        f"has {label!r} with all its coarser labels. Fill in the empty cell of one of these rows"
        for (level, label), rows in unfilled.items()
    ]
    columns = dict(zip(cells.columns, map(list, zip(*whole, strict=True)), strict=True)) if paths else {}
    if not paths:
        return [*texts, f"no row has a label in column {cells.columns[0]!r}: fill it in"]
    taxonomy = Taxonomy.from_columns(columns, allow_repeated_names=True)
    return texts + _refusals(cells, left, lambda row: _fitted(row, taxonomy))


def _refusals(cells: Cells, rows: Iterable[tuple[Row, Numbers]], read: Callable[[Row], None]) -> list[str]:
    """Read different rows; return each different error once, with the rows that raise it."""
    refused: dict[str, Numbers] = {}
    for row, numbers in rows:
        try:
            read(row)
        except TaxonomyError as error:
            # Each row is read as a table of its own, in which it is the first.
            refused.setdefault(str(error).removeprefix("row 0, "), []).extend(numbers)
    return [f"{cells.where(numbers)}: {message}" for message, numbers in refused.items()]


def _found(label: str | None, taxonomy: Taxonomy) -> None:
    if label is not None:
        taxonomy.find(label)


def _fitted(row: Row, taxonomy: Taxonomy) -> None:
    taxonomy.targets_from_columns({level: [label] for level, label in zip(taxonomy.levels, row, strict=True)})


def _has_gap(row: Row) -> bool:
    known = [label is not None for label in row]
    return known != sorted(known, reverse=True)


def _paths(whole: dict[Row, Numbers]) -> dict[Row, Numbers]:
    """Return the path of every class that rows without a gap have, with their numbers."""
    paths: dict[Row, Numbers] = {}
    for row, numbers in whole.items():
        for depth in range(1, sum(label is not None for label in row) + 1):
            paths.setdefault(row[:depth], []).extend(numbers)
    return paths


def _under_two_parents(cells: Cells, paths: dict[Row, Numbers]) -> list[str]:
    parents: dict[tuple[int, str | None], list[Row]] = {}
    for path in paths:
        parents.setdefault((len(path), path[-1]), []).append(path)
    texts = []
    for (depth, label), found in parents.items():
        if len(found) > 1:
            places = [f"under '{'/'.join(map(str, path[:-1]))}' ({cells.where(paths[path])})" for path in found]
            texts.append(
                f"column {cells.columns[depth - 1]!r}: {label!r} stands {' and '.join(places)}. Correct the labels, or "
                "give --allow_repeated_names if these are different classes"
            )
    return texts
