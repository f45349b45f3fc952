"""Combination rules, against loops over the paths of random trees."""

import math
import random

import pytest
import torch
from helpers.trees import cases, combined, random_probabilities, random_taxonomy
from hypothesis import given, settings

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional import combination
from nested_lightning.functional.calibration import log_probabilities
from nested_lightning.functional.combination import COMBINATIONS, finest_by_temperature, get_combination, nested
from nested_lightning.taxonomy import Taxonomy


def under(path, ancestor):
    return path[: len(ancestor)] == ancestor


# ---- the rules once more, one sample at a time, on dicts from path to probability ----


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


def loop_nested(sample):
    refined = [sample[0]]
    for own in sample[1:]:
        refined.append(loop_share(refined[-1], own))
    return refined


def loop_coarse_and_fine(sample):
    if len(sample) == 1:
        return sample
    fine = loop_share(sample[0], sample[-1])
    return [sample[0], *(loop_sum(fine, level) for level in sample[1:])]


def loop_sum_up(sample):
    return [loop_sum(sample[-1], level) for level in sample]


def loop_opinions(sample, nodes):
    finest = list(sample[-1])
    for own in sample:
        spread = {
            path: p / sum(under(other, node) for other in finest)
            for node, p in own.items()
            for path in finest
            if under(path, node)
        }
        yield loop_sum(spread, nodes)


def loop_mean(sample):
    return [{n: sum(o[n] for o in loop_opinions(sample, nodes)) / len(sample) for n in nodes} for nodes in sample]


def loop_product(sample):
    rests = [1 - sum(own.values()) for own in sample]
    rejected = math.prod(rest if rest > 1e-13 else 0 for rest in rests)
    refined = []
    for nodes in sample:
        products = {n: math.prod(o[n] for o in loop_opinions(sample, nodes)) for n in nodes}
        total = sum(products.values()) + rejected
        refined.append({n: p / total if total > 0 else 1 / len(nodes) for n, p in products.items()})
    return refined


def loop_hie(sample):
    rejected, refined = 1.0, []
    for level, nodes in enumerate(sample):
        rest = 1 - sum(nodes.values())
        rejected *= rest if rest > 1e-13 else 0
        products = {n: math.prod(sample[i][n[: i + 1]] for i in range(level + 1)) for n in nodes}
        total = sum(products.values()) + rejected
        refined.append({n: p / total if total > 0 else 1 / len(nodes) for n, p in products.items()})
    refined[0] = sample[0]
    return refined


def loop_majority_vote(sample):
    favourites = [max(own, key=own.get) for own in sample]
    refined = []
    for own in sample:
        votes = {n: sum(under(n, f) or under(f, n) for f in favourites) for n in own}
        winner = max(own, key=lambda n: (votes[n], own[n]))
        refined.append({n: votes[n] / len(sample) * (n == winner) for n in own})
    return refined


LOOPS = {
    "nested": loop_nested,
    "independent": lambda sample: sample,
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
    refined = combined(rule, probabilities, taxonomy)
    assert len(refined) == len(probabilities)
    for i in range(len(probabilities[0])):
        sample = [dict(zip(taxonomy.nodes(n), level[i], strict=True)) for n, level in enumerate(probabilities)]
        for got, expected in zip(refined, LOOPS[rule](sample), strict=True):
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
    refined = combined(rule, probabilities, taxonomy)
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
def test_a_sample_alone_is_combined_as_in_a_batch(rule):
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
    refined = combined(rule, [[COARSE], [FINE]], TAXONOMY)
    assert refined[0][0].tolist() == pytest.approx(coarse)
    assert refined[1][0].tolist() == pytest.approx(fine)


def test_votes_of_coarser_levels_overrule_the_finest():
    taxonomy = Taxonomy(["l1", "l2", "l3"], [tuple(leaf) for leaf in ("ape", "apf", "aqg", "bri", "brj")])
    votes = combined("majority_vote", [[[0.6, 0.4]], [[0.7, 0.1, 0.2]], [[0.2, 0.3, 0.0, 0.5, 0.0]]], taxonomy)
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
    refined = combined("nested", [[[0.3, 0.1]], [[0.1, 0.1, 0.1, 0.1]]], TAXONOMY)
    assert refined[1].sum().item() == pytest.approx(0.4)


def test_get_combination():
    assert get_combination("mean") is COMBINATIONS["mean"]
    assert get_combination(COMBINATIONS["product"]) is COMBINATIONS["product"]
    with pytest.raises(ConfigurationError, match=r"unknown combination rule 'nestd'.*Did you mean 'nested'\?"):
        get_combination("nestd")


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_refuses_the_rejection_column(rule):
    with pytest.raises(ConfigurationError, match=r"level 'fine' has 4 classes.*got \(1, 5\)"):
        COMBINATIONS[rule]([torch.zeros(1, 2), torch.zeros(1, 5)], TAXONOMY)


@pytest.mark.parametrize("n", [0, 3])
def test_refuses_another_number_of_levels(n):
    with pytest.raises(ConfigurationError, match=rf"1 to 2 levels \(coarse, fine\), got {n}"):
        COMBINATIONS["nested"]([torch.zeros(1, 2)] * n, TAXONOMY)


@pytest.mark.parametrize("rule", COMBINATIONS)
def test_finest_level_by_temperature_is_that_of_the_rule(rule):
    for seed in range(5):
        taxonomy = random_taxonomy(random.Random(seed), 4)
        generator = torch.Generator().manual_seed(seed)
        logits = [20 * torch.randn(7, k + 1, generator=generator, dtype=torch.float64) for k in taxonomy.sizes]
        logits[seed % 4][:, -1] = -torch.inf
        for n in range(1, 5):
            coarser = [log_probabilities(z, 1.3) for z in logits[: n - 1]]
            if n > 1:
                coarser[0][0] = -torch.inf  # a sample that the coarsest level rejects
            at = finest_by_temperature(COMBINATIONS[rule], coarser, logits[n - 1], taxonomy)
            for temperature in (0.05, 1.0, 2.7, 20.0):
                own = log_probabilities(logits[n - 1], temperature)
                expected = COMBINATIONS[rule]([*coarser, own], taxonomy)[-1]
                torch.testing.assert_close(at(temperature), expected, rtol=1e-9, atol=1e-9)


def test_coarser_levels_are_combined_once_for_all_temperatures(monkeypatch):
    shared = []
    share = combination._share
    monkeypatch.setattr(combination, "_share", lambda *args: shared.append(1) or share(*args))
    taxonomy = random_taxonomy(random.Random(0), 4)
    logits = [torch.randn(7, k + 1) for k in taxonomy.sizes]
    at = finest_by_temperature(nested, [log_probabilities(z) for z in logits[:3]], logits[3], taxonomy)
    for temperature in range(1, 9):
        at(temperature)
    assert len(shared) == 2
