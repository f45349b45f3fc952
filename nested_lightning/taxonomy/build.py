"""Labels in tables and edge lists: the leaf paths they contain, and the targets of their rows."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from nested_lightning.errors import TaxonomyError, suggestion
from nested_lightning.taxonomy.tree import MOST_LEVELS, Path, Tree, is_name, unknown_label

Row = tuple[str | None, ...]
Columns = dict[str, list[str | None]]


def numbered_levels(leaves: Sequence[Sequence[str]]) -> list[str]:
    """Return the names ``l1, l2, ...`` for as many levels as the longest path needs, at least two.

    Example:
        >>> numbered_levels([["a"], ["b", "c", "d"]])
        ['l1', 'l2', 'l3']
    """
    return [f"l{number}" for number in range(1, max([2, *map(len, leaves)]) + 1)]


def names_of(path: str, separator: str) -> list[str]:
    """Return the names in a path written as text; TaxonomyError if it is no text."""
    if not isinstance(path, str):
        raise TaxonomyError(f"expected a path such as 'animal{separator}cat', came {path!r:.60}")
    return path.split(separator)


def leaves_from_parents(edges: Iterable[tuple[str, str | None]]) -> list[Path]:
    """Return the leaf paths of the tree given by pairs (child, parent), in order of first appearance.

    Raises:
        TaxonomyError: if a child has two parents, the pairs run in a circle, or one is no pair of names.
    """
    parents: dict[str, str | None] = {}
    for pair in edges:
        child, parent = _checked_pair(pair)
        if parents.setdefault(child, parent) != parent:
            raise TaxonomyError(
                f"'{child}' has two parents, {parents[child]!r} and {parent!r}. Remove one of the pairs, or "
                "give whole paths if these are two classes (Taxonomy.from_paths)"
            )
    safe: set[str | None] = {None}
    for start in parents:
        node: str | None = start
        trail: dict[str | None, None] = {}
        while node not in safe:
            if node in trail:
                circle = [*list(trail)[list(trail).index(node) :], node]
                raise TaxonomyError(
                    f"the parents run in a circle: {' < '.join(map(str, circle))}. Remove one of these pairs"
                )
            trail[node] = None
            node = parents.get(str(node))
        safe.update(trail)
    inner = set(parents.values())
    return [_path_to(child, parents) for child in parents if child not in inner]


def _checked_pair(pair: object) -> tuple[str, str | None]:
    if isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str):
        child, parent = pair
        if is_name(child) and (parent is None or is_name(parent)):
            return child, parent
    raise TaxonomyError(f"expected a pair of names (child, parent), the parent of a root being None, came {pair!r:.60}")


def _path_to(node: str, parents: Mapping[str, str | None]) -> Path:
    path = [node]
    while (above := parents.get(path[-1])) is not None:
        path.append(above)
        if len(path) > MOST_LEVELS:
            raise TaxonomyError(f"'{node}' lies more than {MOST_LEVELS} levels deep. Check the pairs above it")
    return tuple(reversed(path))


def checked_columns(columns: Mapping[str, Iterable[str | None]]) -> Columns:
    """Return the columns as equally long lists in which every empty cell is ``None``.

    Raises:
        TaxonomyError: naming the column, and the row of a cell that is neither text nor empty.
    """
    checked: Columns = {}
    for name, cells in columns.items():
        if isinstance(cells, str):
            raise TaxonomyError(f"column '{name}': expected its cells as a list, came the text {cells!r}")
        checked[name] = [
            cell if isinstance(cell, str) and cell.strip() else _empty(cell, name, row)
            for row, cell in enumerate(cells)
        ]
    if len(lengths := {name: len(cells) for name, cells in checked.items()}) == 0:
        raise TaxonomyError("no label column is given. Give one for each level, coarse to fine")
    if len(set(lengths.values())) > 1:
        raise TaxonomyError(f"the columns must be equally long, came {lengths} (rows per column)")
    return checked


def _empty(cell: object, column: str, row: int) -> str | None:
    if cell is None or isinstance(cell, str) or str(cell) in ("nan", "<NA>"):
        return None
    raise TaxonomyError(
        f"row {row}, column '{column}': expected a label (text) or an empty cell, came {cell!r} of type "
        f"{type(cell).__name__}. Convert the column to text first"
    )


def leaves_from_columns(columns: Columns, allow_repeated_names: bool) -> list[Path]:
    """Return the leaf paths which the rows without a gap contain, in order of first appearance.

    Raises:
        TaxonomyError: if a name stands under two parents at one level (unless allowed), or if the finest
            label of a row with a gap occurs in no row without one.
    """
    rows = _first_rows(columns)
    gaps: dict[Row, int] = {}
    paths: dict[Path, int] = {}
    for cells, row in rows.items():
        known = tuple(cell for cell in cells if cell is not None)
        if cells[: len(known)] != known:
            gaps[cells] = row
        for depth in range(1, len(known) + 1 if cells not in gaps else 0):
            paths.setdefault(known[:depth], row)
    if not allow_repeated_names:
        _refuse_repeated_names(list(columns), paths)
    names = {(len(path), path[-1]) for path in paths}
    for cells, row in gaps.items():
        level, label = _finest(cells)
        if (level + 1, label) not in names:
            empty = list(columns)[cells.index(None)]
            raise TaxonomyError(
                f"row {row}: column '{list(columns)[level]}' has '{label}', column '{empty}' is empty, and "
                f"no row has '{label}' with all its coarser labels. Fill in the empty cell"
            )
    inner = {path[:-1] for path in paths}
    return [path for path in paths if path not in inner]


def _refuse_repeated_names(columns: Sequence[str], paths: Mapping[Path, int]) -> None:
    seen: dict[tuple[int, str], Path] = {}
    for path, row in paths.items():
        other = seen.setdefault((len(path), path[-1]), path)
        if other != path:
            raise TaxonomyError(
                f"column '{columns[len(path) - 1]}': '{path[-1]}' stands under two parents, "
                f"'{'/'.join(other[:-1])}' (first in row {paths[other]}) and '{'/'.join(path[:-1])}' (first "
                f"in row {row}). Correct the labels, or set allow_repeated_names=True if they are two classes"
            )


def targets_from_columns(tree: Tree, columns: Columns) -> Tensor:
    """See :meth:`Taxonomy.targets_from_columns`; the columns come from :func:`checked_columns`."""
    for name in columns:
        if name not in tree.levels:
            raise TaxonomyError(
                f"column '{name}' is no level of the taxonomy ({', '.join(tree.levels)})."
                f"{suggestion(name, tree.levels) or ' Rename it'}"
            )
    levels = [tree.levels.index(name) for name in columns]
    order: dict[Row, int] = {}
    table: list[list[int]] = []
    for cells, row in _first_rows(columns).items():
        labels = {level: cell for level, cell in zip(levels, cells, strict=True) if cell is not None}
        order[cells] = len(table)
        table.append(tree.target(_fitting(tree, labels, row)) if labels else [-1] * tree.n_levels)
    rows = [order[cells] for cells in zip(*columns.values(), strict=True)]
    targets = torch.tensor(table, dtype=torch.long).reshape(-1, tree.n_levels)
    return targets[torch.tensor(rows, dtype=torch.long)]


def _fitting(tree: Tree, labels: Mapping[int, str], row: int) -> Path:
    """Return the path of the one class which a row's labels (level -> label) describe."""
    level = max(labels)
    label = labels[level]
    where = f"row {row}, column '{tree.levels[level]}'"
    found = tree.matches(label, level)
    if not found:
        raise TaxonomyError(f"{where}: {unknown_label(label, tree.levels[level], tree.names(level))}")
    agreeing = [path for path in found if not _contradicted(path, labels)]
    if len(agreeing) == 1:
        return agreeing[0]
    parents = " and under ".join(f"'{'/'.join(path[:-1])}'" for path in (agreeing or found)[:4])
    if agreeing:
        raise TaxonomyError(
            f"{where}: '{label}' stands under {parents}. Fill in the coarser labels of this row, or write "
            f"the whole path, such as '{'/'.join(agreeing[0])}'"
        )
    at = _contradicted(found[0], labels)[0]
    raise TaxonomyError(
        f"{where}: '{label}' stands under {parents}, but column '{tree.levels[at]}' has '{labels[at]}'. "
        "Correct one of the two labels"
    )


def _contradicted(path: Path, labels: Mapping[int, str]) -> list[int]:
    """Return the levels whose label is not the one of ``path``."""
    return [at for at, label in labels.items() if label not in (path[at], "/".join(path[: at + 1]))]


def _first_rows(columns: Columns) -> dict[Row, int]:
    """Return the different rows of a table, each with the number of its first occurrence."""
    first: dict[Row, int] = {}
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        first.setdefault(cells, row)
    return first


def _finest(cells: Row) -> tuple[int, str]:
    return max((level, cell) for level, cell in enumerate(cells) if cell is not None)
