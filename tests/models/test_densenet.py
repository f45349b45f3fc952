"""The nested DenseNet: blocks, encoder, bottleneck, and the size of the paper's model (Table C.1)."""

from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import DenseBlockBottleneck, DenseNetEncoder, NestedNetwork
from nested_lightning.models.densenet import DenseBlock
from nested_lightning.models.layers import EPS


def small(previous_channels, skip_channels, channels):
    return DenseBlockBottleneck(previous_channels, skip_channels, channels, layers=2, growth=4)


def network(sizes=(2, 4), skip_connections=True):
    """Return a network with 16, 16 and 8 channels in its features."""
    skips, channels = [8, 16, 16, 16], []
    for level in range(len(sizes)):
        skip = skips[level] if skip_connections or level == 0 else 0
        channels.append((channels[-1] if channels else 0) + skip + 8)
    return NestedNetwork(DenseNetEncoder(1, layers=2, growth=4), sizes, small, channels, skip_connections)


def with_random_statistics(module):
    """Give every normalisation parameters and statistics of its own, so that none can be left out unnoticed."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = EPS
            for tensor in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


def test_a_block_computes_what_torchvision_does():
    reference = pytest.importorskip("torchvision.models.densenet")
    theirs = with_random_statistics(reference._DenseBlock(4, 10, bn_size=4, growth_rate=6, drop_rate=0.0))
    ours = DenseBlock(10, layers=4, growth=6).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(3, 10, 7, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    assert torch.equal(ours(x)[:, :10], x)


def test_the_encoder_and_the_first_bottleneck_are_a_densenet():
    reference = pytest.importorskip("torchvision.models.densenet")
    densenet = reference.DenseNet(12, (12, 12, 12), num_init_features=24, num_classes=20).features
    densenet.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)  # the first layers of small images
    densenet.norm0 = densenet.relu0 = densenet.pool0 = nn.Identity()
    with_random_statistics(densenet)
    encoder, last = DenseNetEncoder().eval(), DenseBlockBottleneck(0, 114, 258).eval()
    pairs = zip(encoder.blocks, encoder.transitions, strict=True)
    ours = nn.ModuleList([encoder.first, *chain.from_iterable(pairs), last])
    ours.load_state_dict(dict(zip(ours.state_dict(), densenet.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(last(None, encoder(images)[-1]), densenet(images).relu(), atol=1e-4, rtol=1e-4)


def test_a_transition_averages_the_pixels_there_are():
    encoder = DenseNetEncoder(1, blocks=1, layers=1, growth=4)
    *narrow, _ = encoder.transitions[0]
    before, after = encoder.eval()(torch.rand(1, 1, 5, 4))
    maps = nn.Sequential(*narrow)(before)
    torch.testing.assert_close(after[..., :2, :], avg_pool2d(maps, 2))
    torch.testing.assert_close(after[..., 2, :], (maps[..., 4, ::2] + maps[..., 4, 1::2]) / 2)


def test_the_layout_in_memory_changes_no_value():
    net = network().double().eval()
    images = torch.rand(2, 1, 8, 8, dtype=torch.double, requires_grad=True)
    encoder = net.backbone
    block, middle = encoder.blocks[0](encoder.first(images)), encoder.transitions[0]
    features = encoder(images)
    torch.testing.assert_close(features[:2], [block, encoder.blocks[1](middle(block))])
    assert all(feature.is_contiguous(memory_format=torch.channels_last) for feature in features)
    assert torch.autograd.grad(net(images)[-1][:, 0].sum(), images)[0].any()


def test_the_coarser_level_is_doubled_by_a_transposed_convolution():
    block = small(1, 1, 10)
    block.block = block.last = nn.Identity()
    previous, skip = torch.tensor([[[[2.0, 3.0]]]]), torch.rand(1, 1, 2, 4)
    kernel = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    block.upsample.weight.data = kernel
    # Pixel (i, j) of the small map lies at (2i, 2j) of the large one, and the kernel is centred on it.
    padded = torch.zeros(1, 1, 4, 6)
    for column, value in ((0, 2.0), (2, 3.0)):
        padded[..., 0:3, column : column + 3] += value * kernel
    expected = padded[..., 1:3, 1:5]
    torch.testing.assert_close(block(previous, skip), torch.cat([expected, skip], dim=1))


@pytest.mark.parametrize("skip_connections", [True, False])
@pytest.mark.parametrize("n_levels", [1, 2, 4])
def test_any_number_of_levels(n_levels, skip_connections):
    sizes = range(2, 2 + n_levels)
    logits = network(sizes, skip_connections).train()(torch.rand(3, 1, 9, 6))
    assert [tuple(level.shape) for level in logits] == [(3, size + 1) for size in sizes]
    sum(cross_entropy(level, torch.zeros(3, dtype=torch.long)) for level in logits).backward()


def test_nested_densenet_of_the_papers_size():
    net = NestedNetwork(DenseNetEncoder(), (20, 100), DenseBlockBottleneck, (258, 630))
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == 1_548_206  # Table C.1: 1.5e6
    assert count - net.bottlenecks[1].upsample.weight.numel() == 949_130
    logits = net(torch.rand(2, 3, 8, 8))
    sum(cross_entropy(level, torch.zeros(2, dtype=torch.long)) for level in logits).backward()
    # Every parameter counts: each one takes part in a prediction.
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_an_error_names_the_channels_that_fit():
    with pytest.raises(ConfigurationError, match=r"258 of the coarser .* 228 of .* must be 630 .* got 64"):
        DenseBlockBottleneck(258, 228, 64)
    with pytest.raises(ConfigurationError, match=r"must be 402 .* got 630"):
        NestedNetwork(DenseNetEncoder(), (20, 100), DenseBlockBottleneck, (258, 630), skip_connections=False)
