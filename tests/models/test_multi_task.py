"""The multi-task network of Fig. E.1."""

import pytest
import torch

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import ConvBottleneck, ConvEncoder, NestedNetwork, ParallelBottleneck, UNetEncoder


def network() -> NestedNetwork:
    torch.manual_seed(0)
    return NestedNetwork(ConvEncoder(1, (8, 16, 64)), [2, 4, 10], ParallelBottleneck, 16)


def test_has_as_many_parameters_as_the_nested_network() -> None:
    nested = NestedNetwork(UNetEncoder(1, (8, 16)), [2, 4, 10], ConvBottleneck, [48, 20, 16])
    sizes = [sum(p.numel() for p in model.parameters()) for model in (network(), nested)]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01


def test_a_branch_sees_the_trunk_and_no_other_level() -> None:
    net, images = network().eval(), torch.rand(3, 1, 28, 28)
    before = [logits.clone() for logits in net(images)]
    with torch.no_grad():
        for parameter in [*net.bottlenecks[0].parameters(), *net.heads[0].parameters()]:
            parameter.add_(1)
    after = net(images)
    assert not torch.allclose(after[0][:, :-1], before[0][:, :-1])
    for level in (1, 2):
        torch.testing.assert_close(after[level], before[level])


def test_the_trunk_is_the_end_of_the_encoder() -> None:
    trunk, images = ConvEncoder(3, (4, 8)), torch.rand(2, 3, 9, 7)
    assert trunk.out_channels == 8
    torch.testing.assert_close(trunk.eval()(images), trunk.encoder(images)[-1])


def test_refuses_to_see_nothing() -> None:
    with pytest.raises(ConfigurationError, match="skip_connections to true"):
        NestedNetwork(ConvEncoder(1, (8,)), [2, 4], ParallelBottleneck, 16, skip_connections=False)
