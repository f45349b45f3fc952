"""The tree of a taxonomy, in plain Python: paths, indices, and labels looked up by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from nested_lightning.errors import TaxonomyError, suggestion
from nested_lightning.taxonomy.names import clean, folded, means_missing

Path = tuple[str, ...]
MOST_LEVELS = 100
"""More are a mistake, such as a separator that is part of every name; each level becomes a part of the network."""
_OF_THE_PATH = ("path", "path_confidence", "depth")
"""Columns of predictions besides those of the levels; ``path`` is also a key of logs."""
_SURROGATES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which a Python str may contain but a file may not."""


@dataclass(frozen=True, init=False, repr=False)
class Tree:
    """Named levels, and the classes of every level with their indices. See :class:`Taxonomy`."""

    levels: tuple[str, ...]
    leaves: tuple[Path, ...]

    def __init__(self, levels: Sequence[str], leaves: Iterable[Sequence[str]]) -> None:
        object.__setattr__(self, "levels", _checked_levels(levels))
        object.__setattr__(self, "leaves", _checked_leaves(self.levels, leaves))
        depth = max(map(len, self.short_leaves))
        if depth < self.n_levels:
            raise TaxonomyError(
                f"level '{self.levels[depth]}' has no class of its own: every leaf ends above it. Remove the "
                f"level, or split at least one class of level '{self.levels[depth - 1]}'"
            )

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes per level, carried leaves included."""
        return tuple(map(len, self._indices))

    @cached_property
    def short_leaves(self) -> tuple[Path, ...]:
        """Path of every leaf down to its own level, in the order of ``leaves``."""
        n_children = Counter(path[:-1] for nodes in self._indices for path in nodes)
        short = []
        for path in self.leaves:
            depth = self.n_levels
            while depth > 1 and path[depth - 1] == path[depth - 2] and n_children[path[: depth - 1]] == 1:
                depth -= 1
            short.append(path[:depth])
        return tuple(short)

    def level_index(self, level: int) -> int:
        """The level counted from 0; TaxonomyError if it does not exist."""
        if not -self.n_levels <= level < self.n_levels:
            raise TaxonomyError(f"unknown level {level}: expected 0 to {self.n_levels - 1} ({', '.join(self.levels)})")
        return level % self.n_levels

    def nodes(self, level: int) -> tuple[Path, ...]:
        """Paths of the classes of ``level`` in index order."""
        return tuple(self._indices[self.level_index(level)])

    def short_nodes(self, level: int) -> tuple[Path, ...]:
        """Paths of the classes of ``level`` in index order, that of a carried leaf down to where it really sits."""
        return tuple(map(self.short, self.nodes(level)))

    def short(self, path: Path) -> Path:
        """Path of the node that a class stands for: that of a carried leaf ends where the leaf really sits."""
        while path in self._carried:
            path = path[:-1]
        return path

    def unambiguous_names(self, level: int) -> tuple[str, ...]:
        """The shortest ends of the paths of the classes of ``level`` that no other class of the level shares.

        Example:
            >>> leaves = [["apple", "leaf", "healthy"], ["apple", "leaf", "scab"], ["grape", "healthy"]]
            >>> Tree(["l1", "l2", "l3"], leaves).unambiguous_names(2)
            ('leaf/healthy', 'scab', 'grape/healthy')
        """
        paths = self.short_nodes(level)
        often = Counter(path[start:] for path in paths for start in range(len(path)))
        # The whole path where it is the end of another one.
        starts = (next((i for i in reversed(range(len(p))) if often[p[i:]] == 1), 0) for p in paths)
        return tuple("/".join(path[start:]) for path, start in zip(paths, starts, strict=True))

    def names(self, level: int) -> tuple[str, ...]:
        """Names of the classes of ``level`` in index order; a name may occur under several parents."""
        return tuple(path[-1] for path in self._indices[self.level_index(level)])

    def index(self, path: Sequence[str]) -> int:
        """Index at level ``len(path) - 1`` of the class with this path; TaxonomyError if there is none."""
        if isinstance(path, str) or not 1 <= len(path) <= self.n_levels:
            raise TaxonomyError(
                f"expected a path of 1 to {self.n_levels} names such as {self.leaves[0]}, got {path!r}. For "
                "a label written as text use find()"
            )
        key, level = tuple(path), len(path) - 1
        if key not in self._indices[level]:
            known = map("/".join, self._indices[level])
            raise unknown_label("/".join(map(str, key)), self.levels[level], known)
        return self._indices[level][key]

    def find(self, label: str, level: int | None = None, suggest: bool = True) -> Path:
        """Path of the one class that a label written as text refers to.

        Args:
            label: a name (``"cat"``) or a whole path (``"animal/cat"``); a name wins over a path.
            level: where to look; by default at all levels, where a carried leaf counts at its own level only.
            suggest: whether the error for an unknown label names the nearest ones, which takes time in a large tree.

        Raises:
            TaxonomyError: if no class matches (names the nearest ones) or several do (names their parents).

        Example:
            >>> plants = Tree(["l1", "l2"], [["apple", "healthy"], ["apple", "scab"], ["grape", "healthy"]])
            >>> plants.find("scab"), plants.find("grape/healthy")
            (('apple', 'scab'), ('grape', 'healthy'))
        """
        found = self.matches(label, level)
        if len(found) == 1:
            return found[0]
        if not found:
            known = (text for text in self._texts if self.matches(text, level))
            raise unknown_label(label, None if level is None else self.levels[level], known, suggest)
        shown = [f"'{'/'.join(self.short(path))}' (level '{self.levels[len(path) - 1]}')" for path in found[:4]]
        more = f" or {len(found) - 4} more" if len(found) > 4 else ""
        raise TaxonomyError(
            f"label '{label}' is ambiguous: it can be {' or '.join(shown)}{more}. Write the whole path, such "
            f"as '{'/'.join(self.short(found[-1]))}', or give the level"
        )

    def matches(self, label: str, level: int | None = None) -> tuple[Path, ...]:
        """Paths of all classes that a label may refer to (see :meth:`find`), possibly none.

        Blanks around names and their Unicode form make no difference, unless a class has exactly this name.
        """
        at = None if level is None else self.level_index(level)
        for paths in self._texts.get(label) or self._cleaned.get(clean(label), ([], [])):
            found = [p for p in paths if (p not in self._carried if at is None else len(p) == at + 1)]
            if found:
                return tuple(found)
        return ()

    def target(self, path: Sequence[str]) -> list[int]:
        """Class index per level of a label with this path: -1 below it, unless it is a (carried) leaf."""
        self.index(path)
        known = tuple(path)
        if known in self._carried or known in self._short:
            known += known[-1:] * (self.n_levels - len(known))
        indices = [self._indices[level][known[: level + 1]] for level in range(len(known))]
        return indices + [-1] * (self.n_levels - len(known))

    @cached_property
    def _indices(self) -> tuple[dict[Path, int], ...]:
        """Per level: path -> index."""
        heads = [dict.fromkeys(leaf[: level + 1] for leaf in self.leaves) for level in range(self.n_levels)]
        return tuple({path: index for index, path in enumerate(nodes)} for nodes in heads)

    @cached_property
    def _short(self) -> frozenset[Path]:
        return frozenset(self.short_leaves)

    @cached_property
    def _carried(self) -> frozenset[Path]:
        """Paths of the classes that only carry a leaf down from a coarser level."""
        pairs = zip(self.short_leaves, self.leaves, strict=True)
        return frozenset(leaf[:n] for short, leaf in pairs for n in range(len(short) + 1, len(leaf) + 1))

    @cached_property
    def _texts(self) -> dict[str, tuple[list[Path], list[Path]]]:
        """Text -> the paths that have it as their name, and those that have it as their whole, or short, path."""
        texts: dict[str, tuple[list[Path], list[Path]]] = {}
        for path in (path for nodes in self._indices for path in nodes):
            texts.setdefault(path[-1], ([], []))[0].append(path)
            for whole in dict.fromkeys((path, self.short(path))):
                texts.setdefault("/".join(whole), ([], []))[1].append(path)
        return texts

    @cached_property
    def _cleaned(self) -> dict[str, tuple[list[Path], list[Path]]]:
        """The same by cleaned text."""
        texts: dict[str, tuple[list[Path], list[Path]]] = {}
        for text, (names, paths) in self._texts.items():
            known = texts.setdefault(clean(text), ([], []))
            known[0].extend(names)
            known[1].extend(paths)
        return texts


def is_name(value: object) -> bool:
    """Return whether a value can name a level or a class: a text that is not empty and that a file can contain."""
    return isinstance(value, str) and value != "" and _SURROGATES.search(value) is None


_SEPARATORS = ("->", ">", "::", "|", "\\", ";", "___")  # of paths, other than the slash


def unknown_label(label: object, level: str | None, known: Iterable[str], suggest: bool = True) -> TaxonomyError:
    """Return the error for a label that is not in the taxonomy; it names the nearest labels that are if asked to."""
    where = "" if level is None else f" at level '{level}'"
    if not suggest:
        return TaxonomyError(f"the taxonomy has no class {label!r}{where}")
    texts = list(known)
    if same := next((text for text in texts if folded(text) == folded(str(label))), None):
        return TaxonomyError(
            f"the taxonomy has no class {label!r}{where}. Did you mean {same!r}? They differ only in case, blanks or "
            "invisible characters: correct the label, or set reading.normalize"
        )
    if means_missing(str(label)):
        where += ". If it means that the label is unknown, add it to reading.missing"
    listed = f" It has {', '.join(map(repr, texts[:8]))}{', ...' if len(texts) > 8 else ''}"
    near = suggestion(str(label), texts) or listed
    if mark := next((mark for mark in _SEPARATORS if mark in str(label)), None):
        near += f" Does {mark!r} separate names? Set reading.path_separator, or build the tree with keep_labels"
    return TaxonomyError(f"the taxonomy has no class {label!r}{where}.{near}")


def _checked_levels(levels: Sequence[str]) -> tuple[str, ...]:
    names = (levels,) if isinstance(levels, str) or not isinstance(levels, Sequence) else tuple(levels)
    if not 2 <= len(names) <= MOST_LEVELS:
        bound = "at least 2" if len(names) < 2 else f"at most {MOST_LEVELS}"
        raise TaxonomyError(
            f"expected {bound} level names, coarse to fine, such as ['coarse', 'fine'], got {list(names[:5])}"
            + f" and {len(names) - 5} more" * (len(names) > 5)
        )
    for position, name in enumerate(names):
        if not is_name(name):
            raise TaxonomyError(
                f"the name of level {position} must be a text and not empty, got {name!r}. Level names are "
                "used in logs and files: give each level one"
            )
        if name in names[:position]:
            raise TaxonomyError(f"the level name '{name}' is given twice: {list(names)}. Rename one of them")
    owners = dict.fromkeys(_OF_THE_PATH, "the predicted path")
    for name in names:
        for column in (name, f"{name}_confidence", f"{name}_own", f"{name}_own_confidence"):
            if owners.setdefault(column, f"level '{name}'") != f"level '{name}'":
                raise TaxonomyError(
                    f"the level name '{name}' cannot be used: '{column}' is also a column of predictions or a key of "
                    f"logs for {owners[column]}. Rename the level"
                )
    return names


def _checked_leaves(levels: tuple[str, ...], leaves: Iterable[Sequence[str]]) -> tuple[Path, ...]:
    """Return the leaf paths carried down to the last level."""
    full: dict[Path, Path] = {}
    inner: set[Path] = set()
    if isinstance(leaves, str) or not isinstance(leaves, Iterable):
        raise TaxonomyError(f"expected the leaves as a list of paths such as ('animal', 'cat'), got {leaves!r:.60}")
    for given in leaves:
        path = _checked_path(levels, given)
        carried = path + path[-1:] * (len(levels) - len(path))
        if carried in full:
            raise TaxonomyError(
                f"the path '{'/'.join(path)}' is given twice. Remove one (a leaf above the last level is "
                "carried down under its own name, so that 'a' and 'a/a' are the same)"
            )
        full[carried] = path
        inner.update(path[:n] for n in range(1, len(path)))
    if not full:
        raise TaxonomyError("a taxonomy needs at least one leaf, none is given")
    for path in full.values():
        if path in inner:
            child = next(other for other in full if other[: len(path)] == path and full[other] != path)
            raise TaxonomyError(
                f"'{'/'.join(path)}' is given both as a leaf and as the parent of '{child[len(path)]}'. "
                "Remove the leaf, or give it its own name below, such as 'other'"
            )
    return tuple(full)


def _checked_path(levels: tuple[str, ...], given: Sequence[str]) -> Path:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TaxonomyError(
            f"expected the path of a leaf as a sequence of names such as ('animal', 'cat'), got "
            f"{'the text ' * isinstance(given, str)}{given!r:.60}. For paths written as text use Taxonomy.from_paths"
        )
    path = tuple(given)
    if not 1 <= len(path) <= len(levels):
        raise TaxonomyError(
            f"the path '{'/'.join(map(str, path))}' has {len(path)} names, but there are {len(levels)} "
            f"levels ({', '.join(levels)}). Give 1 to {len(levels)} names, or another level"
        )
    if not all(map(is_name, path)):
        raise TaxonomyError(
            f"the path {path!r:.200} has an empty name, or one that is not text in Unicode. Name every class"
        )
    return path
