"""Partitions are disjoint, exact, stratified at every level, and reproducible."""

import math
from itertools import combinations

import pytest
import torch
from helpers.errors import raises_naming
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nested_lightning.data.partition import Partition, depths, partition, stratified_sample
from nested_lightning.errors import BudgetError, DataError

LEVELS = ("coarse", "middle", "fine")
# class indices of the leaves of a small tree, per level
LEAVES = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [1, 3, 4], [1, 3, 5]])


@st.composite
def rows(draw: st.DrawFn, full_depth: bool = False) -> Tensor:
    """Targets of 1 to 200 rows, unevenly distributed over classes and depths."""
    counts = draw(st.lists(st.integers(0, 60), min_size=6, max_size=6).filter(any))
    targets = LEAVES.repeat_interleave(torch.tensor(counts), 0)
    if not full_depth:
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        depth = torch.randint(0, 4, (len(targets), 1), generator=generator)
        targets = targets.masked_fill(torch.arange(3) >= depth, -1)
    return targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))]


def all_sets(p: Partition) -> list[set[int]]:
    parts = [rows.tolist() for rows in (*p.subsets, p.validation, p.test)]
    assert all(len(set(part)) == len(part) for part in parts)
    return list(map(set, parts))


@given(rows(), st.floats(0, 1), st.integers(0, 9))
def test_sample_is_stratified_at_every_level(targets: Tensor, share: float, seed: int) -> None:
    n = int(share * len(targets))
    picked = stratified_sample(targets, n, torch.Generator().manual_seed(seed))
    assert len(set(picked.tolist())) == n
    for level in range(3):
        for label in targets[:, level].unique().tolist():
            of_class = targets[:, level] == label
            if label == -1:  # these lie at several places of the tree
                continue
            quota = n * int(of_class.sum()) / len(targets)
            assert math.floor(quota) <= int(of_class[picked].sum()) <= math.ceil(quota)


def test_every_row_is_equally_likely() -> None:
    targets = LEAVES.repeat_interleave(torch.tensor([1, 2, 3, 1, 2, 3]), 0)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(12)
    for _ in range(4000):
        counts[stratified_sample(targets, 3, generator)] += 1
    assert (counts / 4000 - 3 / 12).abs().max() < 0.03


@settings(max_examples=60)
@given(rows(), st.floats(0, 0.4), st.floats(0, 0.4), st.integers(0, 9))
def test_by_depth(targets: Tensor, validation: float, test: float, seed: int) -> None:
    depth = depths(targets)
    n = int((depth > 0).sum())
    if round(validation * n) + round(test * n) >= n:
        return
    p = partition(targets, seed, levels=LEVELS, validation=validation, test=test)
    sets = all_sets(p)
    assert all(not a & b for a, b in combinations(sets, 2))
    assert set().union(*sets) == set((depth > 0).nonzero().flatten().tolist())
    assert len(p.validation) == round(validation * n)
    assert len(p.test) == round(test * n)
    for i, subset in enumerate(p.subsets):
        assert bool((depth[subset] == i + 1).all())
    assert torch.equal(p.visible(targets), targets[p.train])


@settings(max_examples=60)
@given(rows(), st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 9))
def test_by_budget(targets: Tensor, shares: list[float], seed: int) -> None:
    depth, budgets, used = depths(targets), [0, 0, 0], 0
    for i in (2, 1, 0):  # anything up to what is left is possible
        budgets[i] = int(shares[i] * (int((depth > i).sum()) - used))
        used += budgets[i]
    if not used:
        return
    p = partition(targets, seed, levels=LEVELS, budgets=budgets)
    sets = all_sets(p)
    assert [len(s) for s in sets] == [*budgets, 0, 0]
    assert all(not a & b for a, b in combinations(sets, 2))
    for i, subset in enumerate(p.subsets):
        assert bool((depth[subset] >= i + 1).all())
    visible, original = p.visible(targets), targets[p.train]
    level_of = {row: i for i, subset in enumerate(p.subsets) for row in subset.tolist()}
    for row, seen, label in zip(p.train.tolist(), visible.tolist(), original.tolist(), strict=True):
        known = level_of[row] + 1
        assert seen == label[:known] + [-1] * (3 - known)


@given(rows(full_depth=True), st.integers(0, 9))
def test_subsets_are_stratified_like_what_they_were_drawn_from(targets: Tensor, seed: int) -> None:
    n = len(targets)
    p = partition(targets, seed, levels=LEVELS, budgets=[n // 4, n // 4, n - 2 * (n // 4)])
    pool = torch.arange(n)
    for subset in reversed(p.subsets):
        for label in range(6):
            quota = len(subset) * int((targets[pool, 2] == label).sum()) / len(pool) if len(pool) else 0
            assert abs(int((targets[subset, 2] == label).sum()) - quota) < 1
        pool = pool[~torch.isin(pool, subset)]


def test_validation_and_test_depend_on_the_seed_and_not_on_the_budgets() -> None:
    targets = LEAVES.repeat(50, 1)
    kwargs = {"levels": LEVELS, "validation": 0.2, "test": 30}
    one, same, other = (partition(targets, seed, budgets=[9, 9, 9], **kwargs) for seed in (1, 1, 2))
    assert all_sets(one) == all_sets(same)
    for a, b in zip(all_sets(one), all_sets(other), strict=True):
        assert a != b
    bigger = partition(targets, 1, budgets=[30, 30, 30], **kwargs)
    assert torch.equal(bigger.validation, one.validation)
    assert torch.equal(bigger.test, one.test)
    assert torch.equal(partition(targets, 1, levels=LEVELS, test=30).test, one.test)


@pytest.mark.parametrize(
    ("error", "kwargs", "parts"),
    [
        (BudgetError, {"budgets": [1, 2]}, ["[1, 2]", "3 levels", "coarse, middle, fine"]),
        (BudgetError, {"budgets": [1, -2, 3]}, ["-2", "0 or more"]),
        (BudgetError, {"budgets": [0, 0, 0]}, ["not all 0"]),
        (
            BudgetError,
            {"budgets": [0, 0, 11]},
            ["11 rows", "'fine'", "only 10", "20 to coarse, 0 to middle, 10 to fine"],
        ),
        (BudgetError, {"budgets": [26, 0, 5]}, ["26 rows", "'coarse'", "only 25"]),
        (DataError, {"validation": 30}, ["data.validation=30", "30 labelled"]),
        (DataError, {"validation": 0.5, "test": 0.5}, ["15 and 15", "ask for fewer"]),
        (DataError, {"test": math.nan}, ["data.test=nan"]),
        (DataError, {"validation": -1}, ["data.validation=-1", "share in [0, 1)"]),
        (DataError, {"test": 1.0}, ["data.test=1.0", "share in [0, 1)"]),
    ],
)
def test_failures(error: type[Exception], kwargs: dict[str, object], parts: list[str]) -> None:
    targets = torch.tensor([[0, -1, -1]] * 20 + [[0, 1, 2]] * 10 + [[-1, -1, -1]] * 5)
    with raises_naming(error, *parts):
        partition(targets, 0, levels=LEVELS, **kwargs)  # type: ignore[arg-type]
