"""The head of a level: embedding, masked rejection logit, gradients."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from nested_lightning.models import BottleneckHead


def fitted(head):
    head.rejection_fitted.fill_(True)
    return head


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 16), st.lists(st.integers(1, 4), max_size=3), st.floats(1e-3, 1e3))
def test_embeddings_have_length_one_and_do_not_depend_on_the_scale(batch, channels, spatial, scale):
    features = torch.rand(batch, channels, *spatial) + 0.1
    head = BottleneckHead(channels, 3)
    embedding = head.embed(features)
    assert embedding.shape == (batch, channels)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(batch))
    torch.testing.assert_close(head.embed(scale * features), embedding)


def test_logits_by_hand():
    head = fitted(BottleneckHead(2, 2))
    features = torch.tensor([[[[1.0, 5.0]], [[4.0, 4.0]]]])  # means 3 and 4, length 5
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]))
        head.linear.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    # The embedding (0.6, 0.8) comes to the linear layer times the square root of its 2 channels.
    scaled = torch.tensor([[0.6, 0.8, 7.0]]) * 2**0.5
    torch.testing.assert_close(head(features), scaled + torch.tensor([[0.0, 1.0, 2.0]]))


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2, 2)])
def test_a_map_of_zeros_gives_zeros_and_no_nan(shape):
    features = torch.zeros(shape, requires_grad=True)
    head = BottleneckHead(4, 2)
    assert torch.equal(head.embed(features), torch.zeros(3, 4))
    cross_entropy(head(features), torch.tensor([0, 1, 1])).backward()
    assert features.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision(dtype):
    head = BottleneckHead(4, 2).to(dtype)
    logits = head(torch.cat([torch.zeros(1, 4), torch.rand(1, 4)]).to(dtype))
    assert logits.dtype == dtype
    assert logits[:, :-1].isfinite().all()
    assert (logits[:, -1] == -torch.inf).all()


def test_the_rejection_logit_is_masked_until_it_is_fitted():
    head = BottleneckHead(8, 3)
    features = torch.rand(5, 8)
    masked = head(features)
    assert (masked[:, -1] == -torch.inf).all()
    # A softmax over all columns is a softmax over the real classes.
    torch.testing.assert_close(masked.softmax(dim=1)[:, :-1], masked[:, :-1].softmax(dim=1))
    free = fitted(head)(features)
    assert free[:, -1].isfinite().all()
    torch.testing.assert_close(free[:, :-1], masked[:, :-1])
    torch.testing.assert_close(free, head.linear(8**0.5 * head.embed(features)))


def test_the_masked_column_gets_a_gradient_of_exactly_zero():
    head = BottleneckHead(8, 3)
    loss = cross_entropy(head(torch.rand(6, 8)), torch.tensor([0, 1, 2, 0, 1, 2]))
    loss.backward()
    assert loss.isfinite()
    assert (head.linear.weight.grad[-1] == 0).all()
    assert head.linear.bias.grad[-1] == 0
    assert (head.linear.weight.grad[:-1] != 0).any(dim=1).all()


def test_gradients_are_those_of_a_head_without_a_rejection_class():
    head, target = BottleneckHead(8, 3), torch.tensor([0, 1, 2, 0])
    features = torch.rand(4, 8, requires_grad=True)
    got = torch.autograd.grad(cross_entropy(head(features), target), [features, head.linear.weight])
    small = 8**0.5 * head.embed(features) @ head.linear.weight[:-1].T + head.linear.bias[:-1]
    expected = torch.autograd.grad(cross_entropy(small, target), [features, head.linear.weight])
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("channels", [4, 64, 1024])
def test_first_logits_are_as_far_apart_for_every_size_of_embedding(channels):
    torch.manual_seed(0)
    logits = BottleneckHead(channels, 200)(torch.randn(50, channels))[:, :-1]
    # Weights uniform within 1/sqrt(channels) and an input of length sqrt(channels): a variance of 1/3; the bias adds
    # 1/(3 channels).
    assert logits.var().item() == pytest.approx(1 / 3 + 1 / (3 * channels), rel=0.1)


def test_a_fitted_rejection_class_can_be_a_target():
    head = fitted(BottleneckHead(8, 3))
    cross_entropy(head(torch.rand(2, 8)), torch.tensor([3, 3])).backward()
    assert (head.linear.weight.grad[-1] != 0).any()


def test_fitting_survives_a_checkpoint_and_changes_no_shape():
    head = BottleneckHead(8, 3)
    shapes = {name: value.shape for name, value in head.state_dict().items()}
    assert shapes == {"linear.weight": (4, 8), "linear.bias": (4,), "rejection_fitted": ()}
    file = io.BytesIO()
    torch.save(fitted(head).state_dict(), file)
    file.seek(0)
    other = BottleneckHead(8, 3)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.rejection_fitted
    assert {name: value.shape for name, value in other.state_dict().items()} == shapes
    features = torch.rand(2, 8)
    assert torch.equal(other(features), head(features))


def test_torch_can_average_it():
    head = BottleneckHead(channels=4, n_classes=2)
    average = AveragedModel(head, use_buffers=True)
    for _ in range(2):
        average.update_parameters(head)
    assert average.module.rejection_fitted == 0


def test_a_flag_saved_as_bool_is_read():
    head = BottleneckHead(channels=4, n_classes=2)
    head.load_state_dict({**head.state_dict(), "rejection_fitted": torch.tensor(True)})
    assert head.rejection_fitted == 1
    assert torch.isfinite(head(torch.rand(3, 4))).all()
