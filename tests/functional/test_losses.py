"""The loss of several levels, against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.functional.losses import inverse_frequency_weights, level_losses, marginal_loss, nested_loss
from nested_lightning.taxonomy import Taxonomy

SIZES = (2, 4, 7)
TREE = Taxonomy.from_paths(["a/b/1", "a/b/2", "a/c/3", "d/e/4", "d/e/5", "d/f/6", "d/f/7"])


def batch(seed, n, sizes=SIZES, rejection=-math.inf):
    """Logits per level (leaves of the graph) and targets known to different depths."""
    generator = torch.Generator().manual_seed(seed)
    logits = [torch.randn(n, k + 1, generator=generator, dtype=torch.float64) * 3 for k in sizes]
    for level in logits:
        level[:, -1] = rejection
        level.requires_grad_()
    target = torch.stack([torch.randint(k, (n,), generator=generator) for k in sizes], dim=1)
    depth = torch.randint(len(sizes) + 1, (n, 1), generator=generator)
    return logits, target.masked_fill(torch.arange(len(sizes)) >= depth, -1)


def loss_by_loops(logits, target, weights):
    total = 0.0
    for level, alpha in zip(range(len(logits)), weights, strict=False):
        for scores, label in zip(logits[level].tolist(), target[:, level].tolist(), strict=True):
            if label != -1:
                total += alpha * (math.log(sum(math.exp(s) for s in scores)) - scores[label])
    return total / len(target)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 9),
    levels=st.integers(1, len(SIZES)),
    weights=st.none() | st.lists(st.floats(0, 5), min_size=len(SIZES), max_size=len(SIZES)),
    rejection=st.sampled_from([-math.inf, 0.7]),
)
def test_equals_the_double_sum(seed, n, levels, weights, rejection):
    logits, target = batch(seed, n, rejection=rejection)
    loss = nested_loss(logits[:levels], target, None if weights is None else torch.tensor(weights, dtype=torch.float64))
    assert loss.item() == pytest.approx(loss_by_loops(logits[:levels], target, weights or [1.0] * levels), abs=1e-12)


def test_equals_the_stage_loss_where_everything_is_known():
    logits, target = batch(0, 16)
    target = target.clamp(min=0)
    stage_loss = 1.0 * cross_entropy(logits[0], target[:, 0]) + 1.5 * cross_entropy(logits[1], target[:, 1])
    torch.testing.assert_close(nested_loss(logits[:2], target, torch.tensor([1, 1.5, 3])), stage_loss)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
@pytest.mark.parametrize("rejection", [-math.inf, 0.7])
def test_label_smoothing_is_that_of_torch_over_the_real_classes(smoothing, rejection):
    logits, target = batch(3, 12, rejection=rejection)
    loss = nested_loss(logits, target, label_smoothing=smoothing)
    expected = nested_loss(logits, target)
    for level, z in enumerate(logits):
        options = {"ignore_index": -1, "reduction": "sum"}
        smooth = cross_entropy(z[:, :-1], target[:, level], label_smoothing=smoothing, **options)
        plain = cross_entropy(z[:, :-1], target[:, level], **options)
        hard = cross_entropy(z, target[:, level], **options)
        expected = expected + (smooth - (1 - smoothing) * plain - smoothing * hard) / len(target)
    torch.testing.assert_close(loss, expected)
    assert torch.isfinite(loss)


def test_level_losses_are_the_terms_of_the_loss():
    logits, target = batch(1, 8)
    weights = torch.tensor([1.0, 1.5, 3.0], dtype=torch.float64)
    torch.testing.assert_close((level_losses(logits, target) * weights).sum(), nested_loss(logits, target, weights))


def test_gradient_of_a_row_does_not_reach_levels_where_it_is_unknown():
    logits, target = batch(2, 6)
    nested_loss(logits, target).backward()
    for level in range(3):
        moved = logits[level].grad.abs().sum(dim=1) > 0
        assert torch.equal(moved, target[:, level] >= 0)
        # A masked rejection logit gets no gradient, hence no nan either.
        assert torch.equal(logits[level].grad[:, -1], torch.zeros(6, dtype=torch.float64))


def test_gradient_is_the_derivative():
    logits, target = batch(3, 5, sizes=(2, 3), rejection=0.3)
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *z: nested_loss(z, target, weights), logits)


@pytest.mark.parametrize("loss", [nested_loss, lambda *args: marginal_loss(*args, TREE)])
def test_nothing_known_gives_zero_with_zero_gradients(loss):
    logits, target = batch(4, 6)
    value = loss(logits, torch.full_like(target, -1))
    value.backward()
    assert value.item() == 0
    assert all(z.grad is None or torch.equal(z.grad, torch.zeros_like(z)) for z in logits)
    assert logits[2].grad is not None
    assert loss(*batch(6, 0)).item() == 0


def test_a_weight_of_zero_keeps_the_level_in_the_graph():
    logits, target = batch(5, 6)
    nested_loss(logits, target.clamp(min=0), torch.tensor([0.0, 0.0, 1.0])).backward()
    assert torch.equal(logits[0].grad, torch.zeros_like(logits[0]))
    assert logits[2].grad.abs().sum() > 0


def test_the_rejection_class_can_be_a_target():
    logits = torch.tensor([[0.0, 0.0, 2.0]])
    expected = -torch.log_softmax(logits, dim=1)[0, 2]
    torch.testing.assert_close(nested_loss([logits], torch.tensor([[2]])), expected)


def test_weights_on_another_dtype_are_taken():
    logits, target = batch(7, 4)
    assert nested_loss(logits, target, torch.tensor([1, 2, 3])).dtype == torch.float64


@pytest.mark.parametrize("loss", [nested_loss, lambda *args: marginal_loss(*args, TREE)])
@pytest.mark.parametrize("shape", [(6,), (6, 2), (5, 3)])
def test_refuses_a_target_of_another_shape(loss, shape):
    logits, _ = batch(8, 6)
    with pytest.raises(DataError, match=r"expected \(6, 3\) or more columns, class indices"):
        loss(logits, torch.zeros(shape, dtype=torch.long))


def test_refuses_no_level_and_too_few_weights():
    logits, target = batch(9, 6)
    with pytest.raises(DataError, match="logits of no level"):
        nested_loss([], target)
    with pytest.raises(ConfigurationError, match="2 weights, but got logits of 3 levels"):
        nested_loss(logits, target, torch.ones(2))


def test_inverse_frequency_weights_by_hand():
    assert inverse_frequency_weights([18000, 12000, 6000]) == [1.0, 1.5, 3.0]
    assert inverse_frequency_weights([10, 10, 0]) == [1.0, 1.0, 0.0]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
def test_weight_times_labels_is_the_same_at_every_level(counts):
    weights = inverse_frequency_weights(counts)
    assert [w * n for w, n in zip(weights, counts, strict=True)] == pytest.approx([counts[0]] * len(counts))


@pytest.mark.parametrize("counts", [[], [0, 0], [5, -1]])
def test_refuses_counts_without_a_coarse_label(counts):
    with pytest.raises(DataError, match="at least 1 at the coarsest"):
        inverse_frequency_weights(counts)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), rejection=st.sampled_from([-math.inf, 0.7]))
def test_marginal_loss_is_minus_the_log_of_the_summed_leaves(seed, n, rejection):
    logits, target = batch(seed, n, rejection=rejection)
    leaves = torch.randint(7, (n,), generator=torch.Generator().manual_seed(seed))
    paths = torch.tensor([[TREE.index(leaf[: i + 1]) for i in range(3)] for leaf in TREE.leaves])
    target = torch.where(target >= 0, paths[leaves], -1)
    expected = 0.0
    for scores, known in zip(logits[2][:, :-1].tolist(), target.tolist(), strict=True):
        depth = sum(label >= 0 for label in known)
        below = [i for i in range(7) if depth and paths[i, depth - 1] == known[depth - 1]]
        if below:
            expected -= math.log(sum(math.exp(scores[i]) for i in below) / sum(map(math.exp, scores)))
    loss = marginal_loss(logits, target, TREE)
    assert loss.item() == pytest.approx(expected / n, abs=1e-9)
    loss.backward()
    assert torch.isfinite(logits[2].grad).all()


def test_marginal_loss_of_leaves_is_cross_entropy_and_a_coarse_label_moves_all_below_alike():
    logits = [torch.zeros(1, k + 1, requires_grad=True) for k in SIZES]
    leaf = marginal_loss(logits, torch.tensor([[0, 1, 2]]), TREE)
    torch.testing.assert_close(leaf, cross_entropy(logits[2][:, :-1], torch.tensor([2])))
    marginal_loss(logits, torch.tensor([[0, -1, -1]]), TREE).backward()
    gradient = logits[2].grad[0]
    assert gradient[:7].tolist() == pytest.approx([1 / 7 - 1 / 3] * 3 + [1 / 7] * 4)
