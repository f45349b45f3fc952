"""The U-Net's encoder and the sizes of the paper's models (Table C.1), and the multi-task network (Fig. E.1)."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import (
    ConvBottleneck,
    ConvEncoder,
    DenseNetEncoder,
    NestedNetwork,
    ParallelBottleneck,
    UNetEncoder,
)

MNIST = {"in_channels": 1, "channels": (8, 16), "bottlenecks": (48, 20, 16), "sizes": (2, 4, 10), "side": 28}
CIFAR10 = {"in_channels": 3, "channels": (24, 64), "bottlenecks": (168, 68, 32), "sizes": (2, 5, 10), "side": 32}


@pytest.mark.parametrize(
    ("encoder", "widths"), [(UNetEncoder(3, (4, 6)), (4, 6, 6)), (DenseNetEncoder(3, layers=2, growth=4), (16, 16, 8))]
)
@pytest.mark.parametrize(
    ("size", "pooled"),
    [((28, 28), [(14, 14), (7, 7)]), ((8, 8), [(4, 4), (2, 2)]), ((7, 13), [(4, 7), (2, 4)]), ((1, 1), [(1, 1)] * 2)],
)
def test_features_from_shallow_to_deep(encoder, widths, size, pooled):
    shapes = [tuple(feature.shape) for feature in encoder(torch.rand(2, 3, *size))]
    assert shapes == [(2, width, *side) for width, side in zip(widths, [size, *pooled], strict=True)]
    assert encoder.out_channels == widths


@pytest.mark.parametrize(
    ("encoder", "widths"),
    [
        (UNetEncoder(1, [4]), (4, 4)),
        (UNetEncoder(1, [4, 5, 6, 7]), (4, 5, 6, 7, 7)),
        (DenseNetEncoder(1, blocks=3, layers=1, growth=8), (24, 20, 18, 9)),
    ],
)
def test_any_number_of_blocks(encoder, widths):
    features = encoder(torch.rand(2, 1, 16, 16))
    assert tuple(feature.shape[1] for feature in features) == encoder.out_channels == widths
    assert [feature.shape[2] for feature in features] == [16 // 2**depth for depth in range(len(widths))]


def test_the_layout_in_memory_changes_no_value():
    encoder = UNetEncoder(1, (4, 6)).double().eval()
    images = torch.rand(2, 1, 16, 16, dtype=torch.double, requires_grad=True)
    x, expected = images, []
    for block in encoder.blocks:
        expected.append(block(x))
        x = nn.functional.max_pool2d(expected[-1], 2)
    features = encoder(images)
    torch.testing.assert_close(features, [*expected, x])
    assert features[0].is_contiguous(memory_format=torch.channels_last)
    # Attacks on a model need the gradient of its input.
    assert torch.autograd.grad(features[-1].sum(), images)[0].any()


@pytest.mark.parametrize(("n_blocks", "expected"), [(1, [True]), (2, [True] * 2), (4, [False, False, True, True])])
def test_dropout_acts_after_the_last_two_blocks_and_in_training_only(n_blocks, expected):
    encoder = UNetEncoder(1, [64] * n_blocks, dropout=0.9)
    dropped = []
    for block in encoder.blocks:
        shares = []
        block.register_forward_hook(lambda _block, _inputs, out, kept=shares: kept.append((out == 0).float().mean()))
        dropped.append(shares)
    encoder(torch.rand(4, 1, 32, 32))
    encoder.eval()(torch.rand(4, 1, 32, 32))
    # ReLU alone leaves about half of the values at zero.
    assert [shares[0] > 0.85 for shares in dropped] == expected
    assert all(shares[1] < 0.8 for shares in dropped)


@pytest.mark.parametrize(("recipe", "parameters"), [(MNIST, 5.2e4), (CIFAR10, 6.3e5)])
def test_nested_unets_of_the_papers_size(recipe, parameters):
    encoder = UNetEncoder(recipe["in_channels"], recipe["channels"])
    network = NestedNetwork(encoder, recipe["sizes"], ConvBottleneck, recipe["bottlenecks"])
    count = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert count == pytest.approx(parameters, rel=0.05)
    logits = network(torch.rand(2, recipe["in_channels"], recipe["side"], recipe["side"]))
    sum(cross_entropy(level, torch.zeros(2, dtype=torch.long)) for level in logits).backward()
    # Every parameter counts: each one takes part in the prediction at the last level.
    assert all(parameter.grad is not None for parameter in network.parameters())


# ---- the multi-task network ----


def multi_task():
    torch.manual_seed(0)
    return NestedNetwork(ConvEncoder(1, (8, 16, 64)), [2, 4, 10], ParallelBottleneck, 16)


def test_has_as_many_parameters_as_the_nested_network():
    nested = NestedNetwork(UNetEncoder(1, (8, 16)), [2, 4, 10], ConvBottleneck, [48, 20, 16])
    sizes = [sum(p.numel() for p in model.parameters()) for model in (multi_task(), nested)]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01


def test_a_branch_sees_the_trunk_and_no_other_level():
    net, images = multi_task().eval(), torch.rand(3, 1, 28, 28)
    before = [logits.clone() for logits in net(images)]
    with torch.no_grad():
        for parameter in [*net.bottlenecks[0].parameters(), *net.heads[0].parameters()]:
            parameter.add_(1)
    after = net(images)
    assert not torch.allclose(after[0][:, :-1], before[0][:, :-1])
    for level in (1, 2):
        torch.testing.assert_close(after[level], before[level])


def test_the_trunk_is_the_end_of_the_encoder():
    trunk, images = ConvEncoder(3, (4, 8)), torch.rand(2, 3, 9, 7)
    assert trunk.out_channels == 8
    torch.testing.assert_close(trunk.eval()(images), trunk.encoder(images)[-1])


def test_refuses_to_see_nothing():
    with pytest.raises(ConfigurationError, match="skip_connections to true"):
        NestedNetwork(ConvEncoder(1, (8,)), [2, 4], ParallelBottleneck, 16, skip_connections=False)
