"""Random trees, names and tables, and slow reference implementations of what the package computes from them."""

from collections.abc import Sequence
from typing import Any

import datasets
import pyarrow as pa
from hypothesis import strategies as st

Path = tuple[str, ...]

YAMLISH = [
    "a/b",
    "/",
    "null",
    "~",
    "no",
    "1",
    "1.0",
    "2024-01-01",
    "- x",
    "a: b",
    *"#'\"",
    "&a",
    "*a",
    "!!x",
    "%",
    "<<",
]
UNUSUAL = ["", " ", "\n", "\x00", "\x85", "\u2028", "\ufeff", "\ud800", "e\u0301", "é", "这", "🦉", "\u202e"]
ODD_TEXTS = [*YAMLISH, *UNUSUAL]
NO_TEXTS = [None, 0, 1, -1, True, 1.0, 2.5, float("nan"), float("inf"), b"a", ("a",), 10**30, frozenset()]
few_names = st.sampled_from("abc")
names = few_names | st.sampled_from(ODD_TEXTS) | st.text(min_size=1, max_size=8)
anything: st.SearchStrategy[Any] = st.one_of(names, st.sampled_from(NO_TEXTS), st.just([]), st.just({"a": 1}))


def mostly(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from ``usual``, one time in twenty from ``seldom``."""
    return st.integers(0, 19).flatmap(lambda chance: seldom if chance == 19 else usual)


def typed_rows(name: str, feature: Any, cells: list[Any]) -> datasets.Dataset:
    """Return a data set of one column, whose cells ``datasets`` does not check as it would if it wrote them itself."""
    schema = datasets.Features({name: feature}).arrow_schema
    table = pa.table({name: pa.array(cells, schema.field(name).type)}, schema=schema)
    return datasets.Dataset(datasets.arrow_dataset.InMemoryTable(table))


@st.composite
def trees(draw: st.DrawFn, name: st.SearchStrategy[str] = names, most: int = 60) -> tuple[list[str], list[Path]]:
    """Draw the levels and leaves of a valid tree, whose leaves may end at any level."""
    n_levels = draw(st.integers(2, 5))
    name = name.filter(is_text)
    levels = draw(st.lists(names.filter(is_text), min_size=n_levels, max_size=n_levels, unique=True))
    leaves = draw(st.lists(st.lists(name, min_size=1, max_size=n_levels).map(tuple), max_size=most))
    longest = draw(st.tuples(*[name] * (n_levels - 1), st.just("leaf")))
    kept: dict[Path, None] = {}
    for leaf in [longest, *leaves]:
        if is_consistent([*kept, leaf], n_levels):
            kept[leaf] = None
    return levels, draw(st.permutations(list(kept)))


@st.composite
def large_trees(draw: st.DrawFn) -> tuple[list[str], list[Path]]:
    """Draw a tree of up to 10,000 classes of the finest level."""
    n_leaves, n_levels = draw(st.integers(1, 10_000)), draw(st.integers(2, 6))
    width = draw(st.integers(1, 50))
    prefix = draw(st.text("ab☃/ ", max_size=3))
    leaves = []
    for i in range(n_leaves):
        depth = 1 + (i * 7919) % n_levels if i and width % 2 else n_levels
        inner = tuple(f"{prefix}{i % width ** (at + 1)}" for at in range(depth - 1))
        leaves.append((*inner, f"{prefix}leaf{i}"))
    return [f"l{at}" for at in range(n_levels)], leaves


def is_text(name: Any) -> bool:
    """Return whether a name is not empty and can be written to a file."""
    return isinstance(name, str) and name != "" and not any("\ud800" <= sign <= "\udfff" for sign in name)


def padded(path: Sequence[str], n_levels: int) -> Path:
    """Repeat a path's last name down to the last level."""
    return (*path, *[path[-1]] * (n_levels - len(path)))


def is_consistent(leaves: Sequence[Sequence[str]], n_levels: int) -> bool:
    """Return whether no leaf occurs twice and no leaf lies above another one."""
    full = [padded(leaf, n_levels) for leaf in leaves]
    above = {tuple(leaf[:n]) for leaf in leaves for n in range(1, len(leaf))}
    return len(set(full)) == len(full) and not any(tuple(leaf) in above for leaf in leaves)


def is_tree(levels: Any, leaves: Any) -> bool:
    """Return whether :class:`Taxonomy` has to accept these lists."""
    if not all(map(is_text, levels)) or len(set(levels)) != len(levels) or not leaves:
        return False
    for leaf in leaves:
        if not isinstance(leaf, list | tuple) or not all(map(is_text, leaf)) or not 1 <= len(leaf) <= len(levels):
            return False
    if len(levels) < 2 or not is_consistent(leaves, len(levels)):
        return False
    return max(real_depth(padded(leaf, len(levels)), leaves, len(levels)) for leaf in leaves) == len(levels)


def real_depth(leaf: Path, leaves: Sequence[Sequence[str]], n_levels: int) -> int:
    """Return the number of levels of a leaf without those where it is only the single child of its own name."""
    full = [padded(other, n_levels) for other in leaves]
    depth = n_levels
    while depth > 1 and leaf[depth - 1] == leaf[depth - 2]:
        children = {other[depth - 1] for other in full if other[: depth - 1] == leaf[: depth - 1]}
        if len(children) > 1:
            break
        depth -= 1
    return depth


def numbered(leaves: Sequence[Sequence[str]], n_levels: int) -> list[list[Path]]:
    """Return the classes of every level in the order of their numbers."""
    full = [padded(leaf, n_levels) for leaf in leaves]
    return [list(dict.fromkeys(leaf[: level + 1] for leaf in full)) for level in range(n_levels)]
