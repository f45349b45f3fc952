"""Turn a confusion matrix into a taxonomy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nested_lightning.discovery.affinity import affinity, off_diagonal_masses
from nested_lightning.discovery.grouping import split
from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.build import numbered_levels

_LEVELS = {1: ("coarse", "fine"), 2: ("coarse", "middle", "fine")}
_LONGEST_LIST = 40


@dataclass(frozen=True)
class Discovery:
    """A taxonomy found in confusions, and the confusions.

    Attributes:
        taxonomy: the labels are its leaves, ordered so that similar ones are neighbours.
        labels: the n labels in this order.
        matrix: the confusion matrix in this order, ``[n, n]``: row = label, column = prediction.
        sizes: number of labels in each group, for every level but the finest.
        masses: per level the share of samples predicted as another group; see
            :func:`~nested_lightning.discovery.affinity.off_diagonal_masses`.
    """

    taxonomy: Taxonomy
    labels: tuple[str, ...]
    matrix: np.ndarray
    sizes: tuple[tuple[int, ...], ...]
    masses: tuple[float, ...]


def discover(
    names: Sequence[str],
    matrix: np.ndarray,
    groups: Sequence[int],
    levels: Sequence[str] | None = None,
    slack: int = 0,
    seed: int = 0,
) -> Discovery:
    """Group classes that are confused with one another, coarse level first, then each group again (Sec. D).

    Args:
        names: of the n classes.
        matrix: counts ``[n, n]``: row = label, column = prediction.
        groups: total number of groups at each level, coarse to fine: ``[2, 4]`` are 2 groups of 2 groups each.
        levels: level names, one more than ``groups``. None: coarse, (middle,) fine, or l1, l2, ...
        slack: how many members more or fewer than an even share a group may have.
        seed: of the search.

    Raises:
        ConfigurationError: ``groups`` do not grow from at least 2 to less than n, or ``levels`` do not fit them.
        DataError: the matrix does not fit the names.

    Example:
        >>> confusions = np.array([[9, 0, 1, 0], [0, 8, 0, 2], [2, 0, 8, 0], [0, 1, 0, 9]])
        >>> found = discover(["cat", "cod", "dog", "eel"], confusions, [2])
        >>> print(found.taxonomy)
        Taxonomy(coarse 2 > fine 4)
        ├── cat+dog
        │   ├── cat
        │   └── dog
        └── cod+eel
            ├── cod
            └── eel
    """
    close = affinity(matrix)
    n = len(close)
    if len(names) != n or len(set(names)) != n:
        raise DataError(f"expected {n} different names for a confusion matrix of {n} classes, got {list(names)}")
    names_of_levels = level_names(n, groups, levels, slack)
    parts = [np.arange(len(names))]
    partitions = []
    for total in groups:
        shares = _shares(total, [len(part) for part in parts])
        parts = [
            part[members]
            for part, share in zip(parts, shares, strict=True)
            for members in split(close[np.ix_(part, part)], share, slack, seed)
        ]
        partitions.append(parts)
    order = np.concatenate(parts)
    sizes = tuple(tuple(map(len, partition)) for partition in partitions)
    labels = tuple(names[i] for i in order)
    taxonomy = Taxonomy(names_of_levels, _leaves(labels, sizes))
    masses = off_diagonal_masses(taxonomy, names, matrix)
    return Discovery(taxonomy, labels, np.asarray(matrix)[np.ix_(order, order)], sizes, masses)


def level_names(n: int, groups: Sequence[int], levels: Sequence[str] | None = None, slack: int = 0) -> Sequence[str]:
    """Return the level names of the taxonomy that :func:`discover` finds for ``n`` labels.

    Raises:
        ConfigurationError: see :func:`discover`.

    Example:
        >>> level_names(10, [2, 4])
        ('coarse', 'middle', 'fine')
    """
    if not groups or any(low >= high for low, high in zip([1, *groups], [*groups, n], strict=True)):
        raise ConfigurationError(
            f"groups={list(groups)} must grow from level to level, from at least 2 to less than the {n} labels, "
            f"such as {[2, 4] if n > 4 else [2]}"
        )
    if slack < 0:
        raise ConfigurationError(f"slack must not be negative, got {slack}")
    default = _LEVELS.get(len(groups)) or numbered_levels([["name"] * (len(groups) + 1)])
    if levels is not None and len(levels) != len(default):
        raise ConfigurationError(
            f"levels={list(levels)}: expected {len(default)} names, one for each of groups={list(groups)} and one "
            "for the labels"
        )
    return levels or default


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Return how many parts each group is divided into: equally many if it has enough members, else larger ones more.

    Example:
        >>> _shares(4, [5, 5]), _shares(5, [4, 6]), _shares(6, [1, 7])
        ([2, 2], [2, 3], [1, 5])
    """
    shares = [1] * len(sizes)
    for _ in range(total - len(sizes)):
        open_ones = [i for i, size in enumerate(sizes) if shares[i] < size]
        shares[min(open_ones, key=lambda i: (shares[i], -sizes[i]))] += 1
    return shares


def _leaves(labels: Sequence[str], sizes: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """Return the path of each label; a group is named after its members, and the same on every level if they are."""
    columns: list[list[str]] = []
    known: dict[tuple[str, ...], str] = {(label,): label for label in labels}
    for partition in sizes:
        column: list[str] = []
        for size in partition:
            members = tuple(labels[len(column) : len(column) + size])
            if members not in known:
                known[members] = _group_name(members, set(known.values()))
            column += [known[members]] * size
        columns.append(column)
    return list(zip(*columns, labels, strict=True))


def _group_name(members: Sequence[str], taken: set[str]) -> str:
    name = "+".join(members)
    if len(members) > 3 and len(name) > _LONGEST_LIST:
        name = f"{members[0]}+{members[1]}+{len(members) - 2} more"
    while name in taken:
        name += "'"
    return name
