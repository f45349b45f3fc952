"""Consistent paths, against a loop over random trees, and the confidences of their nodes."""

import math

import pytest
import torch
from helpers.trees import TREE, cases, combined, predictions
from hypothesis import given, settings
from hypothesis import strategies as st

from nested_lightning.errors import ConfigurationError
from nested_lightning.functional.path import consistent_path, node_confidences
from nested_lightning.functional.selective import risk_coverage
from nested_lightning.taxonomy import Taxonomy

TAXONOMY = Taxonomy(["coarse", "fine"], [("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2")])


def loop_path(taxonomy, sample, threshold):
    path, depth, confidence = [-1] * taxonomy.n_levels, 0, max(sample[0].values())
    at = ()
    for level, own in enumerate(sample):
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
    refined = [level.log() for level in combined(rule, probabilities, taxonomy)]
    path, depth, confidence = consistent_path(refined, taxonomy, threshold)
    assert path.dtype == depth.dtype == torch.long
    for i in range(len(path)):
        sample = [dict(zip(taxonomy.nodes(n), lp[i].exp().tolist(), strict=True)) for n, lp in enumerate(refined)]
        expected = loop_path(taxonomy, sample, threshold)
        assert (path[i].tolist(), depth[i].item()) == expected[:2]
        assert confidence[i].item() == pytest.approx(expected[2], abs=1e-12)


def test_path_by_hand():
    refined = [torch.tensor([[0.9, 0.1], [0.4, 0.3]]), torch.tensor([[0.2, 0.7, 0.1, 0.0], [0.4, 0.0, 0.0, 0.3]])]
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


@pytest.mark.parametrize("rule", ["nested", "independent"])
def test_nodes_are_kept_as_paths_are_cut(rule):
    logs, target = predictions(1, 400, rule)
    path, log_confidence = node_confidences(logs, TREE)
    assert torch.equal(path, consistent_path(logs, TREE, 0)[0])
    known, correct = target >= 0, path == target
    coverage, risk = risk_coverage(log_confidence[known], correct[known])
    # exp of the same number may differ in its last bit by where it stands in a tensor: cut between the confidences.
    confidence = log_confidence.exp().unique().double()
    confidence = confidence[confidence.diff(prepend=confidence.new_zeros(1)) > 1e-6]
    for threshold in (confidence - 5e-7)[::7].tolist():
        cut = consistent_path(logs, TREE, threshold)[0]
        assert torch.equal(cut, path.masked_fill(log_confidence.exp() < threshold, -1))
        kept = (cut >= 0) & known
        n = int(kept.sum())
        if n:
            assert coverage[n - 1].item() == pytest.approx(n / int(known.sum()))
            assert risk[n - 1].item() == pytest.approx(int((kept & (cut != target)).sum()) / n)
