"""Combination rules and consistent paths, against loops over the paths of random trees."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.calibration import log_probabilities
from nested_lightning.functional.combination import COMBINATIONS, consistent_path, get_combination
from nested_lightning.taxonomy import Taxonomy


def random_taxonomy(rng, depth):
    """A ragged tree with 1 to 3 children per node, fewer where the level is wide already."""
    leaves, layer = [], [(name,) for name in "abc"[: rng.randint(1, 3)]]
    for _ in range(1, depth):
        if len(layer) > 1 and rng.random() < 0.3:
            leaves.append(layer.pop(rng.randrange(len(layer))))
        most = 3 if len(layer) < 6 else 1
        layer = [(*path, f"{path[-1]}{i}") for path in layer for i in range(rng.randint(1, most))]
    return Taxonomy([f"l{i}" for i in range(depth)], leaves + layer)


def random_probabilities(rng, size):
    """Probabilities with a rejected rest; zeros, ones and a row of zeros among them."""
    kind = rng.choice(("usual", "zeros", "one", "none"))
    if kind == "none":
        return [0.0] * size
    if kind == "one":
        sure = rng.randrange(size)
        return [float(i == sure) for i in range(size)]
    values = [rng.random() * (kind == "usual" or rng.random() < 0.5) for _ in range(size)]
    rest = rng.choice((0, 0.4)) + (sum(values) == 0)
    return [v / (sum(values) + rest) for v in values]


@st.composite
def cases(draw):
    """A taxonomy, per level a list of rows of probabilities, for the first levels or for all."""
    rng = random.Random(draw(st.integers(0, 10**9)))
    taxonomy = random_taxonomy(rng, draw(st.integers(2, 8)))
    given_levels = draw(st.integers(1, taxonomy.n_levels))
    rows = draw(st.integers(1, 4))
    return taxonomy, [[random_probabilities(rng, k) for _ in range(rows)] for k in taxonomy.sizes[:given_levels]]


def apply(rule, probabilities, taxonomy):
    logs = [torch.tensor(level, dtype=torch.float64).log() for level in probabilities]
    return [level.exp() for level in COMBINATIONS[rule](logs, taxonomy)]


def under(path, ancestor):
    return path[: len(ancestor)] == ancestor


# ---- the rules once more, one row at a time, on dicts from path to probability ----


def loop_share(coarse, own):
    """Eq. 2: probabilities ``coarse`` of any coarser level shared among their descendants like ``own``."""
    shared = {}
    for path in own:
        above = next(node for node in coarse if under(path, node))
        group = [node for node in own if under(node, above)]
        total = sum(own[node] for node in group)
        shared[path] = coarse[above] * (own[path] / total if total > 0 else 1 / len(group))
    return shared


def loop_sum(fine, nodes):
    return {node: sum(p for path, p in fine.items() if under(path, node)) for node in nodes}


def loop_nested(row):
    refined = [row[0]]
    for own in row[1:]:
        refined.append(loop_share(refined[-1], own))
    return refined


def loop_coarse_and_fine(row):
    if len(row) == 1:
        return row
    fine = loop_share(row[0], row[-1])
    return [row[0], *(loop_sum(fine, level) for level in row[1:])]


def loop_sum_up(row):
    return [loop_sum(row[-1], level) for level in row]


def loop_opinions(row, nodes):
    finest = list(row[-1])
    for own in row:
        spread = {
            path: p / sum(under(other, node) for other in finest)
            for node, p in own.items()
            for path in finest
            if under(path, node)
        }
        yield loop_sum(spread, nodes)


def loop_mean(row):
    return [{n: sum(o[n] for o in loop_opinions(row, nodes)) / len(row) for n in nodes} for nodes in row]


def loop_product(row):
    rests = [1 - sum(own.values()) for own in row]
    rejected = math.prod(rest if rest > 1e-13 else 0 for rest in rests)
    refined = []
    for nodes in row:
        products = {n: math.prod(o[n] for o in loop_opinions(row, nodes)) for n in nodes}
        total = sum(products.values()) + rejected
        refined.append({n: p / total if total > 0 else 1 / len(nodes) for n, p in products.items()})
    return refined


def loop_hie(row):
    rejected, refined = 1.0, []
    for level, nodes in enumerate(row):
        rest = 1 - sum(nodes.values())
        rejected *= rest if rest > 1e-13 else 0
        products = {n: math.prod(row[i][n[: i + 1]] for i in range(level + 1)) for n in nodes}
        total = sum(products.values()) + rejected
        refined.append({n: p / total if total > 0 else 1 / len(nodes) for n, p in products.items()})
    refined[0] = row[0]
    return refined


def loop_majority_vote(row):
    favourites = [max(own, key=own.get) for own in row]
    refined = []
    for own in row:
        votes = {n: sum(under(n, f) or under(f, n) for f in favourites) for n in own}
        winner = max(own, key=lambda n: (votes[n], own[n]))
        refined.append({n: votes[n] / len(row) * (n == winner) for n in own})
    return refined


LOOPS = {
    "nested": loop_nested,
    "independent": lambda row: row,
    "coarse_and_fine": loop_coarse_and_fine,
    "sum_up": loop_sum_up,
    "mean": loop_mean,
    "product": loop_product,
    "hie": loop_hie,
    "majority_vote": loop_majority_vote,
}


def test_every_rule_has_a_reference():
    assert set(LOOPS) == set(COMBINATIONS)


@pytest.mark.parametrize("rule", COMBINATIONS)
@settings(deadline=None, max_examples=60)
@given(case=cases())
def test_equals_the_loops(rule, case):
    taxonomy, probabilities = case
    refined = apply(rule, probabilities, taxonomy)
    assert len(refined) == len(probabilities)
    for i in range(len(probabilities[0])):
        row = [dict(zip(taxonomy.nodes(n), level[i], strict=True)) for n, level in enumerate(probabilities)]
        for got, expected in zip(refined, LOOPS[rule](row), strict=True):
            assert got[i].tolist() == pytest.approx(list(expected.values()), abs=1e-9)


@pytest.mark.parametrize("rule", COMBINATIONS)
@settings(deadline=None, max_examples=30)
@given(case=cases())
def test_gives_probabilities_in_single_precision_too(rule, case):
    taxonomy, probabilities = case
    for level in COMBINATIONS[rule]([torch.tensor(p).log() for p in probabilities], taxonomy):
        assert level.dtype == torch.float32
        assert ((level.exp() >= 0) & (level <= 0)).all()
        assert (level.exp().sum(dim=1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("rule", ["nested", "coarse_and_fine", "sum_up", "mean"])
@settings(deadline=None, max_examples=30)
@given(case=cases())
def test_children_sum_to_their_parent(rule, case):
    taxonomy, probabilities = case
    refined = apply(rule, probabilities, taxonomy)
    for level in range(1, len(refined)):
        torch.testing.assert_close(taxonomy.sum_up(refined[level], level, level - 1), refined[level - 1])


@pytest.mark.parametrize("rule", ["nested", "coarse_and_fine", "independent"])
@settings(deadline=None, max_examples=20)
@given(case=cases())
def test_coarsest_level_stays_bit_for_bit(rule, case):
    taxonomy, probabilities = case
    logs = [torch.tensor(level).log() for level in probabilities]
    assert torch.equal(COMBINATIONS[rule](logs, taxonomy)[0], logs[0])


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_a_row_alone_gets_the_answer_it_gets_in_a_batch(rule):
    rng = random.Random(3)
    taxonomy = random_taxonomy(rng, 4)
    logs = [torch.tensor([random_probabilities(rng, k) for _ in range(20)]).log() for k in taxonomy.sizes]
    for together, alone in zip(
        COMBINATIONS[rule](logs, taxonomy), COMBINATIONS[rule]([p[:1] for p in logs], taxonomy), strict=True
    ):
        torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=1e-6)


TAXONOMY = Taxonomy(["coarse", "fine"], [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")])
COARSE, FINE = [0.9, 0.1], [0.05, 0.15, 0.8, 0.0]


@pytest.mark.parametrize(
    ("rule", "coarse", "fine"),
    [
        ("nested", [0.9, 0.1], [0.225, 0.675, 0.1, 0.0]),
        ("coarse_and_fine", [0.9, 0.1], [0.225, 0.675, 0.1, 0.0]),
        ("sum_up", [0.2, 0.8], [0.05, 0.15, 0.8, 0.0]),
        ("mean", [0.55, 0.45], [0.25, 0.3, 0.425, 0.025]),
        ("product", [0.18 / 0.26, 0.08 / 0.26], [0.0225 / 0.13, 0.0675 / 0.13, 0.04 / 0.13, 0.0]),
        # At both levels one vote for a, one for b: each level's own opinion decides.
        ("majority_vote", [0.5, 0.0], [0.0, 0.0, 0.5, 0.0]),
    ],
)
def test_by_hand(rule, coarse, fine):
    refined = apply(rule, [[COARSE], [FINE]], TAXONOMY)
    assert refined[0][0].tolist() == pytest.approx(coarse)
    assert refined[1][0].tolist() == pytest.approx(fine)


def test_votes_of_coarser_levels_overrule_the_finest():
    taxonomy = Taxonomy(["l1", "l2", "l3"], [tuple(leaf) for leaf in ("ape", "apf", "aqg", "bri", "brj")])
    votes = apply("majority_vote", [[[0.6, 0.4]], [[0.7, 0.1, 0.2]], [[0.2, 0.3, 0.0, 0.5, 0.0]]], taxonomy)
    assert votes[2][0].tolist() == pytest.approx([0, 2 / 3, 0, 0, 0])


def test_nested_keeps_precision_where_probabilities_underflow():
    logs = [torch.tensor([[-2000.0, 0.0]]), torch.tensor([[-3000.0, -3000.0 - math.log(3), -1.0, -2.0]])]
    fine = COMBINATIONS["nested"](logs, TAXONOMY)[1]
    torch.testing.assert_close(fine[0, :2] + 2000, torch.tensor([0.75, 0.25]).log(), atol=1e-3, rtol=0)


def test_extreme_logits_give_no_nan():
    logits = [torch.tensor([[1e30, -1e30, -math.inf]]), torch.tensor([[-1e30, -1e30, 1e30, 0.0, -math.inf]])]
    for rule in COMBINATIONS.values():
        for level in rule([log_probabilities(z) for z in logits], TAXONOMY):
            assert not level.isnan().any()


def test_rejected_mass_of_the_coarsest_level_stays_under_nested():
    refined = apply("nested", [[[0.3, 0.1]], [[0.1, 0.1, 0.1, 0.1]]], TAXONOMY)
    assert refined[1].sum().item() == pytest.approx(0.4)


def test_get_combination():
    assert get_combination("mean") is COMBINATIONS["mean"]
    assert get_combination(COMBINATIONS["product"]) is COMBINATIONS["product"]
    with pytest.raises(ConfigurationError, match=r"'nestd' is no combination rule.*Did you mean 'nested'\?"):
        get_combination("nestd")


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_refuses_the_rejection_column(rule):
    with pytest.raises(ConfigurationError, match=r"level 'fine' has 4 classes.*got \(1, 5\)"):
        COMBINATIONS[rule]([torch.zeros(1, 2), torch.zeros(1, 5)], TAXONOMY)


@pytest.mark.parametrize("n", [0, 3])
def test_refuses_another_number_of_levels(n):
    with pytest.raises(ConfigurationError, match=rf"1 to 2 levels \(coarse, fine\); got {n}"):
        COMBINATIONS["nested"]([torch.zeros(1, 2)] * n, TAXONOMY)


# ---- consistent paths ----


def loop_path(taxonomy, row, threshold):
    path, depth, confidence = [-1] * taxonomy.n_levels, 0, max(row[0].values())
    at = ()
    for level, own in enumerate(row):
        best = max((node for node in own if node[:-1] == at), key=own.get)
        if own[best] < threshold:
            break
        at, depth, confidence = best, level + 1, own[best]
        path[level] = taxonomy.index(best)
    return path, depth, confidence


@pytest.mark.parametrize("rule", ["nested", "independent", "majority_vote"])
@settings(deadline=None, max_examples=60)
@given(case=cases(), threshold=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
def test_path_equals_the_loop(rule, case, threshold):
    taxonomy, probabilities = case
    refined = [level.log() for level in apply(rule, probabilities, taxonomy)]
    path, depth, confidence = consistent_path(refined, taxonomy, threshold)
    assert path.dtype == depth.dtype == torch.long
    for i in range(len(path)):
        row = [dict(zip(taxonomy.nodes(n), lp[i].exp().tolist(), strict=True)) for n, lp in enumerate(refined)]
        expected = loop_path(taxonomy, row, threshold)
        assert (path[i].tolist(), depth[i].item()) == expected[:2]
        assert confidence[i].item() == pytest.approx(expected[2], abs=1e-12)


def test_path_by_hand():
    refined = [
        torch.tensor([[0.9, 0.1], [0.4, 0.3]]),
        torch.tensor([[0.2, 0.7, 0.1, 0.0], [0.4, 0.0, 0.0, 0.3]]),
    ]
    path, depth, confidence = consistent_path([level.log() for level in refined], TAXONOMY, 0.8)
    assert path.tolist() == [[0, -1], [-1, -1]]
    assert depth.tolist() == [1, 0]
    assert confidence.tolist() == pytest.approx([0.9, 0.4])


def test_path_of_an_empty_batch():
    path, depth, confidence = consistent_path([torch.zeros(0, 2), torch.zeros(0, 4)], TAXONOMY, 0.5)
    assert path.shape == (0, 2) and depth.shape == confidence.shape == (0,)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_refuses_a_threshold_that_is_no_probability(threshold):
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        consistent_path([torch.zeros(1, 2)], TAXONOMY, threshold)
