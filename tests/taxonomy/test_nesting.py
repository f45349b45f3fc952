"""Entropies against hand computation, brute force, SciPy and scikit-learn."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from nested_lightning.errors import DataError
from nested_lightning.taxonomy import Taxonomy, nesting_report

TAXONOMY = Taxonomy.from_paths(["a/x/1", "a/x/2", "a/y/3", "b/z", "b/w/4"])
COLUMNS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30)


def brute_force(labels: list[int], given: list[int]) -> float:
    """H(labels | given) in bits, term by term from its definition."""
    n, pairs, conditions = len(labels), Counter(zip(labels, given, strict=True)), Counter(given)
    return -sum(k / n * math.log2(k / conditions[z]) for (_, z), k in pairs.items())


@settings(deadline=None)
@given(COLUMNS)
def test_any_two_columns(rows: list[tuple[int, int]]) -> None:
    coarse, fine = map(list, zip(*rows, strict=True))
    report = nesting_report(torch.tensor(rows))
    assert report.given_finer[0] == pytest.approx(brute_force(coarse, fine), abs=1e-12)
    assert report.given_coarser[0] == pytest.approx(brute_force(fine, coarse), abs=1e-12)
    for labels, bits in zip((coarse, fine), report.entropies, strict=True):
        assert bits == pytest.approx(entropy(list(Counter(labels).values()), base=2), abs=1e-12)
    shared = mutual_info_score(coarse, fine) / math.log(2)
    assert report.entropies[1] - report.given_coarser[0] == pytest.approx(shared, abs=1e-9)
    parents = {child: {p for p, c in rows if c == child} for child in fine}
    assert report.violations == (tuple(sorted(child for child, of in parents.items() if len(of) > 1)),)
    assert report.nested == (report.given_finer[0] == 0) == all(len(of) == 1 for of in parents.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=30))
def test_rows_of_a_taxonomy_are_nested(cases: list[tuple[int, int]]) -> None:
    """Exactly nested, and strictly so as soon as the rows comparable with the next level differ above it."""
    rows = [TAXONOMY.lift(torch.tensor(label % TAXONOMY.sizes[level]), level) for level, label in cases]
    targets = torch.stack([*rows, *TAXONOMY.lift(torch.arange(5), 2)])
    report = nesting_report(targets, TAXONOMY.levels)
    assert report.given_finer == (0.0, 0.0)
    assert report.violations == ((), ())
    assert report.strictly_nested


def test_counts_of_leaves_are_repeated_rows() -> None:
    leaves = TAXONOMY.lift(torch.arange(5), -1)
    counts = torch.tensor([3, 0, 7, 1, 2])
    assert nesting_report(leaves, counts=counts) == nesting_report(leaves.repeat_interleave(counts, dim=0))
    report = nesting_report(leaves, TAXONOMY.levels, torch.tensor([1, 1, 2, 2, 2]))
    assert report.entropies == pytest.approx((1.0, 2.0, 2.25))
    assert report.given_coarser == pytest.approx((1.0, 0.25))


def test_only_rows_known_at_both_levels_count() -> None:
    targets = torch.tensor([[0, 0], [1, 1], [1, 1], [0, -1], [0, -1], [-1, 0], [-1, -1]])
    report = nesting_report(targets)
    assert report.entropies[0] == pytest.approx(brute_force([0, 1, 1, 0, 0], [0] * 5))
    assert report.entropies[1] == pytest.approx(brute_force([0, 1, 1], [0] * 3))
    assert report.given_coarser == (0.0,)


def test_the_kinds_of_nesting() -> None:
    violated = nesting_report(torch.tensor([[0, 0], [1, 0], [1, 2]]), ["kind", "species"])
    assert not violated.nested
    assert not violated.strictly_nested
    assert violated.given_finer[0] == pytest.approx(2 / 3)
    assert "labels of 'species' that occur with more than one 'kind': 0\nthe labels are not nested" in str(violated)
    # A single coarse class is not informative about the fine ones: nested, but H(Y_2|Y_1) = H(Y_2).
    idle = nesting_report(torch.tensor([[0, 0], [0, 1], [0, 2]]))
    assert idle.nested
    assert not idle.strictly_nested
    assert str(idle).endswith("the labels are nested, not strictly")
    independent = nesting_report(torch.cartesian_prod(torch.arange(3), torch.arange(7)))
    assert independent.given_coarser[0] == pytest.approx(independent.entropies[1], abs=1e-12)
    assert not independent.strictly_nested


def test_a_rare_coarse_class_still_counts_as_strict() -> None:
    report = nesting_report(torch.tensor([[0, 0], [1, 1]]), counts=torch.tensor([10**7, 1]))
    assert report.strictly_nested


def test_the_table_has_a_line_per_level() -> None:
    lines = str(nesting_report(TAXONOMY.lift(torch.arange(5), -1), ["coarse", "middle", "fine"])).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["level", "coarse", "middle", "fine"]
    assert lines[2].split()[1:] == ["1.9219", "0.0000", "0.9510"]
    assert lines[-1] == "the labels are strictly nested"


ZEROS = torch.zeros(3, 2, dtype=torch.long)


@pytest.mark.parametrize(("targets", "options", "message"), [
    (ZEROS[:, :1], {}, r"at least 2 levels, got torch.int64 of shape \(3, 1\)"),
    (ZEROS[:, 0], {}, r"got torch.int64 of shape \(3,\)"),
    (ZEROS.float(), {}, r"got torch.float32"),
    (ZEROS, {"levels": ["a"]}, r"each of the levels a, got 2 columns"),
    (ZEROS, {"counts": torch.ones(3)}, r"3 rows, got torch.float32"),
    (ZEROS, {"counts": torch.tensor([1, 2])}, r"3 rows, .* of shape \(2,\)"),
    (ZEROS[:1], {"counts": torch.tensor([-1])}, r"non-negative integer count"),
    (torch.tensor([[0, -1], [-1, 0]]), {"levels": ["a", "b"]}, r"levels 'a' and 'b' cannot be compared"),
    (ZEROS[:0], {}, r"levels 'l1' and 'l2' cannot be compared"),
])  # fmt: skip
def test_labels_that_cannot_be_compared(targets: torch.Tensor, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        nesting_report(targets, **options)
