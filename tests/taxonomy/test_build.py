"""Taxonomies found in tables and edge lists, and the targets of a table's rows."""

import random
import time
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.build import leaves_from_columns, targets_from_labels

LEAVES = [("a", "x", "1"), ("a", "x", "2"), ("a", "y", "3"), ("b", "z", "4"), ("b", "w"), ("c",)]
TAXONOMY = Taxonomy(["l1", "l2", "l3"], LEAVES)


def columns(rows: list[tuple[str | None, ...]]) -> dict[str, list[str | None]]:
    return dict(zip(TAXONOMY.levels, map(list, zip(*rows, strict=True)), strict=True))


def test_a_table_gives_its_tree() -> None:
    first = [("a", "x", None), ("b", "z", "4"), ("c", None, None), ("a", "x", "1")]
    rows = [*first, (None, "x", None), ("b", "w", "")]
    taxonomy = Taxonomy.from_columns(columns(rows))
    assert taxonomy.short_leaves == (("b", "z", "4"), ("c",), ("a", "x", "1"), ("b", "w"))
    assert taxonomy.target(["c"]) == [1, 1, 1]


@settings(deadline=None)
@given(st.permutations([leaf + (None,) * (3 - len(leaf)) for leaf in LEAVES] * 2))
def test_the_order_of_rows_changes_only_the_indices(rows: list[tuple[str | None, ...]]) -> None:
    taxonomy = Taxonomy.from_columns(columns(rows))
    assert set(taxonomy.leaves) == set(TAXONOMY.leaves)
    assert taxonomy.short_leaves == tuple(dict.fromkeys(tuple(filter(None, row)) for row in rows))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LEAVES), st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_targets_agree_with_a_loop(cases: list[tuple[tuple[str, ...], int, int]]) -> None:
    """Names are unique here: any part of a path means the path down to its last part."""
    rows, expected = [], []
    for leaf, start, stop in cases:
        cells: list[str | None] = [name if start <= at < stop else None for at, name in enumerate(leaf)]
        known = [at for at, cell in enumerate(cells) if cell is not None]
        rows.append(tuple(cells + [None] * (3 - len(cells))))
        expected.append(TAXONOMY.target(leaf[: known[-1] + 1]) if known else [-1, -1, -1])
    table = columns(rows) if rows else {"l1": [], "l2": [], "l3": []}
    targets = TAXONOMY.targets_from_columns(table)
    assert targets.dtype == torch.long
    assert targets.shape == (len(rows), 3)
    assert targets.tolist() == expected


def test_some_levels_in_any_order() -> None:
    table = {"l3": ["3", None, None], "l1": [None, "b", None]}
    assert TAXONOMY.targets_from_columns(table).tolist() == [[0, 1, 2], [1, -1, -1], [-1, -1, -1]]


def test_cells_of_pandas() -> None:
    frame = pd.DataFrame({"l1": ["a", None, float("nan")], "l2": [pd.NA, "z", "  "]})
    assert TAXONOMY.targets_from_columns(frame).tolist() == [[0, -1, -1], [1, 2, -1], [-1, -1, -1]]


def test_repeated_names_and_paths_in_cells() -> None:
    table = {"l1": ["apple", "grape", "apple"], "l2": ["healthy", "healthy", "scab"]}
    plants = Taxonomy.from_columns(table, allow_repeated_names=True)
    assert plants.leaves == (("apple", "healthy"), ("grape", "healthy"), ("apple", "scab"))
    assert plants.targets_from_columns(table).tolist() == [[0, 0], [1, 1], [0, 2]]
    assert plants.targets_from_columns({"l2": ["grape/healthy"]}).tolist() == [[1, 1]]


def test_a_hundred_thousand_rows_are_fast() -> None:
    leaves = random.Random(0).choices([leaf for leaf in LEAVES if len(leaf) == 3], k=100_000)
    table = columns(leaves)
    start = time.process_time()
    targets = Taxonomy.from_columns(table).targets_from_columns(table)
    assert time.process_time() - start < 2
    assert (targets >= 0).all()


@pytest.mark.parametrize(("rows", "message"), [
    (
        [("a", "x", None), ("b", "z", None), ("b", "x", None)],
        r"column 'l2': 'x' stands under two parents, 'a' \(row 0\) and 'b' \(row 2\).*allow_repeated_names",
    ),
    ([("a", "x", "1"), ("a", "y", "1")], r"column 'l3': '1' .*two parents, 'a/x' \(row 0\) and 'a/y' \(row 1\)"),
    ([("a", "x", "1"), (None, "v", None)], r"row 1: column 'l2' has 'v', column 'l1' is empty, and no row has 'v'"),
    ([("a", "x", "1"), ("a", None, "2")], r"row 1: column 'l3' has '2', column 'l2' is empty"),
    (
        [("a", "x", "1"), ("b", "y", "2"), ("b", None, "1")],
        r"row 2, column 'l3': '1' stands under 'a/x', but column 'l1' has 'b'\. Correct one",
    ),
    ([("1", "x", "a"), ("2", "x", "a"), ("3", "y", "a"), (None, "y", "a"), (None, None, "b")],
     r"^the columns l1, l2, l3 nest only in the order l3, l2, l1: give them in this order, coarse to fine"),
    ([("a", "x", "1"), ("a", 3, "1")], r"row 1, column 'l2': expected a label \(text\).*got 3 of type int"),
    ([("a", "x", "1"), (["a"], "x", "1")], r"row 1, column 'l1': expected a label .*of type list"),
    ([(None, None, None)], r"no row has a label in column 'l1'"),
    ([("a", "x", None)], r"level 'l3' has no class of its own"),
])  # fmt: skip
def test_tables_without_a_taxonomy(rows: list[tuple[str | None, ...]], message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy.from_columns(columns(rows))


NAMES = st.sampled_from([None, "a", "b", "c"])


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(NAMES, NAMES, NAMES), min_size=1, max_size=6))
def test_a_taxonomy_is_built_exactly_where_there_is_no_contradiction(rows: list[tuple[str | None, ...]]) -> None:
    def attempt(build: Callable[[], Taxonomy]) -> Taxonomy | str:
        try:
            return build()
        except TaxonomyError as error:
            return str(error)

    def step_by_step() -> Taxonomy:
        leaves, contradictions = leaves_from_columns(columns(rows), allow_repeated_names=False)
        if len(contradictions) > 1:
            raise TaxonomyError(f"{contradictions[0]} (the first of {len(contradictions)} contradictions)")
        if contradictions:
            raise TaxonomyError(contradictions[0])
        return Taxonomy(TAXONOMY.levels, leaves)

    assert attempt(step_by_step) == attempt(lambda: Taxonomy.from_columns(columns(rows)))


def test_all_rows_of_a_contradiction_are_counted() -> None:
    labels = ["x" if row % 2 else "a" for row in range(60)]
    targets, (text,) = targets_from_labels(Taxonomy.from_paths(["a/b", "c"]), "label", labels)
    assert targets.tolist() == [[0, -1], [-1, -1]] * 30
    assert text.startswith("rows 1, 3, 5, ") and "23 and 18 more, column 'label': the taxonomy has no" in text


def test_an_ambiguous_gap() -> None:
    rows = [("a", "x", "1"), ("b", "x", "2"), (None, "x", None)]
    with pytest.raises(
        TaxonomyError,
        match=r"row 2, column 'l2': 'x' stands under 'a' and under 'b'\. Fill in .*such as 'a/x'",
    ):
        Taxonomy.from_columns(columns(rows), allow_repeated_names=True)


def test_rows_that_do_not_fit() -> None:
    with pytest.raises(
        TaxonomyError, match=r"row 1, column 'l1': the taxonomy has no class 'd' at level 'l1'.*'a', 'b'"
    ):
        TAXONOMY.targets_from_columns({"l1": ["a", "d"]})
    with pytest.raises(TaxonomyError, match=r"row 0, column 'l2': 'x' stands under 'a', but column 'l1' has 'b'"):
        TAXONOMY.targets_from_columns({"l1": ["b"], "l2": ["x"]})
    with pytest.raises(TaxonomyError, match=r"column 'level1' is not a level of the taxonomy \(l1, l2, l3\)\."):
        TAXONOMY.targets_from_columns({"level1": ["a"]})
    with pytest.raises(TaxonomyError, match=r"equally long, got \{'l1': 1, 'l2': 2\}"):
        TAXONOMY.targets_from_columns({"l1": ["a"], "l2": ["x", "y"]})
    with pytest.raises(TaxonomyError, match="no label column is given"):
        TAXONOMY.targets_from_columns({})
    with pytest.raises(TaxonomyError, match="column 'l1': expected a list of cells, got the text 'abc'"):
        TAXONOMY.targets_from_columns({"l1": "abc"})


@settings(deadline=None)
@given(st.permutations([path[: n + 1] for path in LEAVES for n in range(len(path))]))
def test_pairs_in_any_order_give_the_tree(paths: list[tuple[str, ...]]) -> None:
    pairs = [(path[-1], path[-2] if len(path) > 1 else None) for path in paths]
    taxonomy = Taxonomy.from_parents(pairs, ["l1", "l2", "l3"])
    assert set(taxonomy.leaves) == set(TAXONOMY.leaves)


def test_pairs_that_do_not_form_a_tree() -> None:
    with pytest.raises(TaxonomyError, match=r"'x' has two parents, 'a' and 'b'\. Remove one of the pairs"):
        Taxonomy.from_parents([("x", "a"), ("x", "b")])
    with pytest.raises(TaxonomyError, match=r"the parents form a circle: a < b < c < a\."):
        Taxonomy.from_parents([("leaf", "a"), ("a", "b"), ("b", "c"), ("c", "a")])
    with pytest.raises(TaxonomyError, match=r"form a circle: a < a\."):
        Taxonomy.from_parents([("x", "y"), ("a", "a")])
    with pytest.raises(TaxonomyError, match="at least one leaf"):
        Taxonomy.from_parents([])
    for pair in (None, "ab", ("x",), ("x", 3), ("", None), (float("nan"), "a")):
        with pytest.raises(TaxonomyError, match=r"expected a pair of names \(child, parent\).*got"):
            Taxonomy.from_parents([pair])
    chain = [(f"n{i}", f"n{i + 1}") for i in range(100_000)]
    with pytest.raises(TaxonomyError, match=r"'n0' is more than 100 levels deep"):
        Taxonomy.from_parents(chain)


def test_invalid_paths() -> None:
    with pytest.raises(TaxonomyError, match=r"expected a path such as 'animal/cat', got None"):
        Taxonomy.from_paths(["a/x", None])
    for separator in ("", None, 3):
        with pytest.raises(TaxonomyError, match=r"expected as separator the text between two names"):
            Taxonomy.from_paths(["a/x"], separator=separator)


def test_pairs_of_a_level_without_classes() -> None:
    with pytest.raises(TaxonomyError, match="level 'l2' has no class of its own"):
        Taxonomy.from_parents([("x", None)])


def test_a_label_is_a_name_before_it_is_a_path() -> None:
    columns = {"l0": ["a", "a", "a"], "l1": ["a", "b", "a/b"], "l2": ["a", "a", "a"]}
    taxonomy = Taxonomy.from_columns(columns, allow_repeated_names=True)
    assert taxonomy.leaves == (("a", "a", "a"), ("a", "b", "a"), ("a", "a/b", "a"))
