"""Taxonomies found in confusion matrices, and the masses between their groups."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.data.labels import load_taxonomy
from nested_lightning.discovery import confusion, discover, labelled_rows, off_diagonal_masses
from nested_lightning.errors import ConfigurationError, DataError, TaxonomyError
from nested_lightning.functional.reliability import normalised
from nested_lightning.taxonomy import Taxonomy

PLANTED = [("a", "b", "c"), ("d", "e"), ("f", "g"), ("h", "i", "j")]  # the first two and the last two belong together


def planted() -> tuple[list[str], np.ndarray]:
    names = list("jcafdhbegi")
    group = {name: number for number, members in enumerate(PLANTED) for name in members}
    middle = np.array([group[name] for name in names])
    same, near = middle[:, None] == middle, middle[:, None] // 2 == middle // 2
    matrix = 1 + 10 * near + 100 * same
    np.fill_diagonal(matrix, 1000)
    return names, matrix


def test_planted_groups_are_found_at_both_levels() -> None:
    names, matrix = planted()
    found = discover(names, matrix, [2, 4])
    assert found.taxonomy.levels == ("coarse", "middle", "fine")
    coarse, middle = (
        {
            frozenset(leaf[2] for leaf in found.taxonomy.leaves if leaf[level] == name)
            for name in found.taxonomy.names(level)
        }
        for level in (0, 1)
    )
    assert middle == set(map(frozenset, PLANTED))
    assert coarse == {frozenset("abcde"), frozenset("fghij")}
    places = [names.index(label) for label in found.labels]
    assert (found.matrix == matrix[np.ix_(places, places)]).all()
    assert found.sizes[0] == (5, 5) and sorted(found.sizes[1]) == [2, 2, 3, 3]


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 9), st.data())
def test_invariants_of_any_matrix(n: int, data: st.DataObject) -> None:
    matrix = np.array(data.draw(st.lists(st.lists(st.integers(0, 50), min_size=n, max_size=n), min_size=n, max_size=n)))
    groups = sorted(data.draw(st.sets(st.integers(2, n - 1), min_size=1)))
    found = discover([f"c{i}" for i in range(n)], matrix, groups, slack=data.draw(st.integers(0, 2)))
    assert sorted(found.labels) == sorted(f"c{i}" for i in range(n))
    assert found.taxonomy.sizes == (*groups, n)
    assert tuple(map(len, found.sizes)) == tuple(groups)
    assert [leaf[-1] for leaf in found.taxonomy.leaves] == list(found.labels)
    assert list(found.masses) == sorted(found.masses)
    for level in range(len(groups) + 1):  # the sum over pairs, in a loop
        crossing = [
            normalised(found.matrix)[i, j]
            for i, j in itertools.product(range(n), repeat=2)
            if found.taxonomy.leaves[i][: level + 1] != found.taxonomy.leaves[j][: level + 1]
        ]
        assert found.masses[level] == pytest.approx(sum(crossing) / n)


def test_masses_by_hand() -> None:
    taxonomy = Taxonomy.from_paths(["x/a", "x/b", "y/c"])
    matrix = np.array([[6, 2, 2], [0, 10, 0], [1, 0, 3]])
    assert off_diagonal_masses(taxonomy, ["a", "b", "c"], matrix) == pytest.approx(((0.2 + 0.25) / 3, (0.4 + 0.25) / 3))
    with pytest.raises(TaxonomyError, match="'d'"):
        off_diagonal_masses(taxonomy, ["a", "b", "d"], matrix)
    with pytest.raises(TaxonomyError, match="'x' is not a leaf"):
        off_diagonal_masses(taxonomy, ["a", "b", "x"], matrix)
    with pytest.raises(DataError, match="2 names"):
        off_diagonal_masses(taxonomy, ["a", "b"], matrix)


def test_names_of_groups_are_unique_and_short() -> None:
    labels = [f"quite a long label, number {i}" for i in range(12)]
    found = discover(labels, np.eye(12), [2, 4])
    assert all(len(name) < 90 for name in found.taxonomy.names(0))
    names = [found.taxonomy.nodes(level) for level in (0, 1)]
    assert len({path[-1] for level in names for path in level}) == 6
    mixed = discover(["a", "b", "a+b", "c"], np.array([[5, 4, 0, 0], [4, 5, 0, 0], [0, 0, 5, 4], [0, 0, 4, 5]]), [2])
    assert "a+b'" in mixed.taxonomy.names(0)


def test_a_group_of_one_is_its_label_carried_down() -> None:
    found = discover(["a", "b", "c"], np.array([[5, 3, 0], [3, 5, 0], [0, 0, 8]]), [2])
    assert ("c",) in found.taxonomy.short_leaves
    assert found.taxonomy.find("c") == ("c",)


@pytest.mark.parametrize(("groups", "levels", "slack"), [
    ([], None, 0), ([1], None, 0), ([4, 2], None, 0), ([2, 2], None, 0), ([10], None, 0), ([2], ["a"], 0),
    ([2], None, -1),
])  # fmt: skip
def test_impossible_groups_are_refused(groups: list[int], levels: list[str] | None, slack: int) -> None:
    with pytest.raises(ConfigurationError):
        discover(*planted(), groups, levels, slack)


@pytest.mark.parametrize("matrix", [np.ones((3, 2)), np.ones(4), -np.eye(4), np.full((4, 4), np.nan), np.ones((1, 1))])
def test_matrices_that_are_not_confusions_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(DataError):
        discover([str(i) for i in range(len(matrix))], matrix, [2])


def test_repeated_names_are_refused() -> None:
    with pytest.raises(DataError, match="4 different names"):
        discover(["a", "a", "b", "c"], np.eye(4), [2])


def test_mnist_is_grouped_no_worse_than_by_the_paper(data_dir: Path) -> None:
    """Measured by one classifier on 10,000 rows, scaled down to 14x14; at both levels."""
    if not (data_dir / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_dir}")
    names, matrix = confusion(*labelled_rows(data_dir / "mnist", image_size=14, rows=10_000))
    found = discover(names, matrix, [2, 4])
    paper = off_diagonal_masses(load_taxonomy("taxonomies/mnist.yaml"), names, matrix)
    assert np.trace(matrix) > 0.9 * matrix.sum() and matrix.sum() == 10_000
    assert all(ours <= theirs + 1e-12 for ours, theirs in zip(found.masses, paper, strict=True))
