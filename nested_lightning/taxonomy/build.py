"""Turn paths, pairs and label columns into leaf paths and targets, and find all contradictions between labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nested_lightning.errors import NestedLightningError, TaxonomyError, rows_in_words, suggestion
from nested_lightning.taxonomy.names import clean
from nested_lightning.taxonomy.tree import MOST_LEVELS, Path, Tree, is_name, unknown_label

Row = tuple[str | None, ...]
Columns = dict[str, list[str | None]]
Where = Callable[[Iterable[int]], str]
"""Names the place of some rows in a message."""
Target = Callable[[Row, bool], list[int]]
"""Returns the target of the labels of a row; the error for an unknown one suggests others if the flag is set."""
_MOST_SUGGESTIONS = 3
"""Each takes a look at all names of the taxonomy."""


def numbered_levels(leaves: Sequence[Sequence[str]]) -> list[str]:
    """Return the names ``l1, l2, ...`` for as many levels as the longest path needs, at least two.

    Example:
        >>> numbered_levels([["a"], ["b", "c", "d"]])
        ['l1', 'l2', 'l3']
    """
    return [f"l{number}" for number in range(1, max([2, *map(len, leaves)]) + 1)]


def leaves_from_parents(edges: Iterable[tuple[str, str | None]]) -> list[Path]:
    """Return the leaf paths of the tree given by pairs (child, parent), in order of first appearance.

    Raises:
        TaxonomyError: a child has two parents, the parents form a circle, or an element is not a pair of names.
    """
    parents: dict[str, str | None] = {}
    for pair in edges:
        is_pair = isinstance(pair, Sequence) and len(pair) == 2 and not isinstance(pair, str)
        if not is_pair or not is_name(pair[0]) or not (pair[1] is None or is_name(pair[1])):
            raise TaxonomyError(
                f"expected a pair of names (child, parent), where the parent of a root is None, got {pair!r:.60}"
            )
        child, parent = pair
        if parents.setdefault(child, parent) != parent:
            raise TaxonomyError(
                f"'{child}' has two parents, {parents[child]!r} and {parent!r}. Remove one of the pairs, or "
                "give whole paths if these are two classes (Taxonomy.from_paths)"
            )
    inner = set(parents.values())
    return [path for path in (_path_to(child, parents) for child in parents) if path[-1] not in inner]


def _path_to(node: str, parents: Mapping[str, str | None]) -> Path:
    path = [node]
    while (above := parents.get(path[-1])) is not None:
        if above in path:
            circle = " < ".join([*path[path.index(above) :], above])
            raise TaxonomyError(f"the parents form a circle: {circle}. Remove one of these pairs")
        path.append(above)
        if len(path) > MOST_LEVELS:
            raise TaxonomyError(f"'{node}' is more than {MOST_LEVELS} levels deep. Check the pairs above it")
    return tuple(reversed(path))


def checked_columns(columns: Mapping[str, Iterable[str | None]]) -> Columns:
    """Return the columns as equally long lists in which every empty cell is ``None``.

    Raises:
        TaxonomyError: naming the column, and the row of a cell that is neither text nor empty.
    """
    if not list(columns):
        raise TaxonomyError("no label column is given. Give one for each level, coarse to fine")
    checked: Columns = {}
    for name, cells in columns.items():
        if isinstance(cells, str):
            raise TaxonomyError(f"column '{name}': expected a list of cells, got the text {cells!r}")
        checked[name] = [_label(cell, name, row) for row, cell in enumerate(cells)]
    lengths = {name: len(cells) for name, cells in checked.items()}
    if len(set(lengths.values())) > 1:
        raise TaxonomyError(f"the columns must be equally long, got {lengths} (rows per column)")
    return checked


def _label(cell: object, column: str, row: int) -> str | None:
    if isinstance(cell, str):
        return clean(cell) or None
    if cell is None or str(cell) in ("nan", "<NA>"):
        return None
    raise TaxonomyError(
        f"row {row}, column '{column}': expected a label (text) or an empty cell, got {cell!r} of type "
        f"{type(cell).__name__}. Convert the column to text first"
    )


def leaves_from_columns(
    columns: Columns, allow_repeated_names: bool, where: Where = rows_in_words
) -> tuple[list[Path], list[str]]:
    """Return the leaf paths in the rows without a gap, in order of first appearance, and every contradiction.

    Contradictions are names under two parents at one level (unless allowed), finest labels of rows with a gap that no
    row without one has, and rows with a gap whose labels do not fit the tree.

    Raises:
        TaxonomyError: the leaf paths do not form a taxonomy; in a table whose finest column is empty, for example.
    """
    levels, rows = list(columns), _distinct(columns)
    known = {cells: tuple(label for label in cells if label is not None) for cells in rows}
    paths: dict[Path, list[int]] = {}
    for cells, path in known.items():
        if cells[: len(path)] == path:  # no gap
            for depth in range(1, len(path) + 1):
                paths.setdefault(path[:depth], []).extend(rows[cells])
    if not paths:
        return [], [f"no row has a label in column '{levels[0]}': fill it in"]
    found = [] if allow_repeated_names else _repeated_names(levels, paths, where)
    if found and _nests(tuple(reversed(cells)) for cells in rows):
        given, order = ", ".join(levels), ", ".join(reversed(levels))
        problem = f"the columns {given} nest only in the order {order}: give them in this order, coarse to fine"
        return [], [f"{problem}. If the order is right, {found[0]}"]
    names = {(len(path), path[-1]) for path in paths}
    gaps: dict[tuple[int, str, str], list[int]] = {}
    for cells, path in list(known.items()):
        finest = max((level for level, label in enumerate(cells) if label is not None), default=0)
        if path and (finest + 1, path[-1]) not in names:
            gaps.setdefault((finest, path[-1], levels[cells.index(None)]), []).extend(rows.pop(cells))
    found += [
        f"{where(numbers)}: column '{levels[level]}' has '{label}', column '{empty}' is empty, and no row has "
        f"'{label}' with all its coarser labels. Fill in the empty cell"
        for (level, label, empty), numbers in gaps.items()
    ]
    inner = {path[:-1] for path in paths}
    leaves = [path for path in paths if path not in inner]
    try:
        tree = Tree(levels, leaves)
    except TaxonomyError:
        if found:
            return leaves, found
        raise
    return leaves, found + _match(
        rows, lambda cells, suggest: _target(tree, dict(enumerate(cells)), levels, suggest), where
    )[1]


def _nests(rows: Iterable[Row]) -> bool:
    """Return whether every label of a column stands beside one label of the column before it."""
    parents: dict[tuple[int, str], str] = {}
    return all(
        parents.setdefault((depth, child), parent) == parent
        for cells in rows
        for depth, (parent, child) in enumerate(pairwise(cells))
        if parent is not None and child is not None
    )


def _repeated_names(levels: Sequence[str], paths: Mapping[Path, list[int]], where: Where) -> list[str]:
    alike: dict[tuple[int, str], list[Path]] = {}
    for path in paths:
        alike.setdefault((len(path), path[-1]), []).append(path)
    return [
        f"column '{levels[depth - 1]}': '{name}' stands under {('two', 'several')[len(found) > 2]} parents, "
        + " and ".join(f"'{'/'.join(path[:-1])}' ({where(paths[path])})" for path in found)
        + ". Correct the labels, or set allow_repeated_names if these are different classes"
        for (depth, name), found in alike.items()
        if len(found) > 1
    ]


def targets_from_columns(
    tree: Tree, columns: Columns, where: Where = rows_in_words, levels: Sequence[int] | None = None
) -> tuple[Tensor, list[str]]:
    """Return the targets of a table with a column for each of some levels, and every contradiction with the tree.

    Targets are ``LongTensor[N, n_levels]``, -1 where a label is unknown or contradicts; see
    :meth:`Taxonomy.targets_from_columns`. A contradiction is a message with all its rows, whose place ``where`` names.
    The columns come from :func:`checked_columns`; without ``levels``, the level of each, they are named as levels.
    """
    names = list(columns)
    for name in names if levels is None else ():
        if name not in tree.levels:
            raise TaxonomyError(
                f"column '{name}' is not a level of the taxonomy ({', '.join(tree.levels)})."
                f"{suggestion(name, tree.levels) or ' Rename it'}"
            )
    at = [tree.levels.index(name) for name in names] if levels is None else levels
    by_level = [names[at.index(level)] if level in at else name for level, name in enumerate(tree.levels)]

    def target(cells: Row, suggest: bool) -> list[int]:
        return _target(tree, dict(zip(at, cells, strict=True)), by_level, suggest)

    return _table(tree, columns, target, where)


def targets_from_labels(
    tree: Tree,
    column: str,
    labels: Sequence[str | None],
    where: Where = rows_in_words,
    find: Callable[[str, bool], Path] | None = None,
) -> tuple[Tensor, list[str]]:
    """Return the targets of one column of names or paths of any level; see :func:`targets_from_columns`.

    ``find`` returns the path of the class that a label refers to, None: that of the tree; its error suggests others if
    the second argument is set.
    """

    def target(cells: Row, suggest: bool) -> list[int]:
        try:
            if find is not None:
                return tree.target(find(str(cells[0]), suggest))
            return tree.target(tree.find(str(cells[0]), suggest=suggest))
        except TaxonomyError as error:
            raise TaxonomyError(f"column {column!r}: {error}") from None

    return _table(tree, {column: list(labels)}, target, where)


def raise_first(contradictions: Sequence[str], error: type[NestedLightningError] = TaxonomyError) -> None:
    """Raise the first of the contradictions, with their number; do nothing if there are none."""
    if contradictions:
        n = len(contradictions)
        raise error(contradictions[0] + (f" (the first of {n} contradictions)" if n > 1 else ""))


def _table(tree: Tree, columns: Columns, target: Target, where: Where) -> tuple[Tensor, list[str]]:
    unknown = [-1] * tree.n_levels
    found, contradictions = _match(_distinct(columns), target, where)
    rows = [found.get(cells, unknown) for cells in zip(*columns.values(), strict=True)]
    return torch.tensor(rows, dtype=torch.long).reshape(-1, tree.n_levels), contradictions


def _match(rows: Mapping[Row, list[int]], target: Target, where: Where) -> tuple[dict[Row, list[int]], list[str]]:
    """Return the target of each distinct labelled row that fits the tree, and a message for each reason not to."""
    found: dict[Row, list[int]] = {}
    refused: dict[str, list[int]] = {}
    for cells, numbers in rows.items():
        if any(label is not None for label in cells):
            try:
                found[cells] = target(cells, len(refused) < _MOST_SUGGESTIONS)
            except TaxonomyError as error:
                refused.setdefault(str(error), []).extend(numbers)
    return found, [f"{where(numbers)}, {message}" for message, numbers in refused.items()]


def _target(tree: Tree, cells: Mapping[int, str | None], names: Sequence[str], suggest: bool) -> list[int]:
    """Return the target of the one class that the cells of a row (level -> label) describe."""
    labels = {level: label for level, label in cells.items() if label is not None}
    level = max(labels)
    label = labels[level]
    found = tree.matches(label, level)
    if not found:
        unknown = unknown_label(label, tree.levels[level], tree.names(level), suggest)
        raise TaxonomyError(f"column '{names[level]}': {unknown}")
    agreeing = [path for path in found if not _disagreeing(tree, path, labels)]
    if len(agreeing) > 1:  # a label may be the name of one class and the path of another: names first
        agreeing = [path for path in agreeing if all(path[at] == name for at, name in labels.items())] or agreeing
    if len(agreeing) == 1:
        return tree.target(agreeing[0])
    nodes = [tree.short(path) for path in (agreeing or found)[:4]]
    parents = " and under ".join(f"'{'/'.join(node[:-1])}'" if node[1:] else "the root" for node in nodes)
    remedy = f"Fill in the coarser labels, or write the whole path, such as '{'/'.join(nodes[0])}'"
    if not agreeing:
        at = _disagreeing(tree, found[0], labels)[0]
        parents += f", but column '{names[at]}' has '{labels[at]}'"
        remedy = "Correct one of the two labels"
    raise TaxonomyError(f"column '{names[level]}': '{label}' stands under {parents}. {remedy}")


def _disagreeing(tree: Tree, path: Path, labels: Mapping[int, str]) -> list[int]:
    """Return the levels whose label is neither the name nor the path, short or carried, of the class on ``path``."""
    heads = {at: path[: at + 1] for at in labels}
    texts = {at: (head[-1], "/".join(head), "/".join(tree.short(head))) for at, head in heads.items()}
    return [at for at, label in labels.items() if label not in texts[at] and clean(label) not in map(clean, texts[at])]


def _distinct(columns: Columns) -> dict[Row, list[int]]:
    """Return the distinct rows of a table, each with the numbers of the rows where it occurs."""
    rows: dict[Row, list[int]] = {}
    for number, cells in enumerate(zip(*columns.values(), strict=True)):
        rows.setdefault(cells, []).append(number)
    return rows
