"""The bottlenecks of vectors and of images."""

from functools import partial

import pytest
import torch
from torch import nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import ConvBottleneck, DenseBlockBottleneck, DenseBottleneck

dense_block = partial(DenseBlockBottleneck, layers=2, growth=4)  # adds 8 channels


@pytest.mark.parametrize("spatial", [(), (9,), (5, 7), (3, 4, 5)])
@pytest.mark.parametrize("previous_channels", [0, 4])
def test_dense_bottleneck_takes_features_of_any_dimension(spatial, previous_channels):
    previous = torch.rand(3, 4) if previous_channels else None
    block = DenseBottleneck(previous_channels, 6, 5)
    assert block(previous, torch.rand(3, 6, *spatial)).shape == (3, 5)


def test_dense_bottleneck_by_hand():
    block = DenseBottleneck(1, 2, 1).eval()
    with torch.no_grad():
        block.block[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
    skip = torch.tensor([[[0.0, 4.0], [6.0, 0.0]]])  # means 2 and 3
    expected = (1 + 10 * 2 + 100 * 3) / (1 + block.block[1].eps) ** 0.5
    torch.testing.assert_close(block(torch.tensor([[1.0]]), skip), torch.tensor([[expected]]))


def test_dense_bottleneck_trains_on_a_batch_of_one():
    block = DenseBottleneck(0, 6, 32).train()
    result = block(None, torch.randn(1, 6))
    assert result.isfinite().all()
    assert (result > 0).any()
    result.sum().backward()
    assert (block.block[0].weight.grad != 0).any()


@pytest.mark.parametrize(("bottleneck", "channels"), [(ConvBottleneck, 5), (dense_block, 18)])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (14, 14), (13, 15), (4, 4), (3, 2), (1, 1)])
def test_the_previous_map_is_resized_to_the_resolution_of_the_skip(bottleneck, channels, size):
    block = bottleneck(4, 6, channels)
    assert block(torch.rand(2, 4, 4, 4), torch.rand(2, 6, *size)).shape == (2, channels, *size)


def test_conv_bottleneck_upsamples_by_repeating_pixels():
    block = ConvBottleneck(1, 1, 2)
    block.block = nn.Identity()
    previous = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    skip = torch.rand(1, 1, 4, 4)
    expected = previous.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(block(previous, skip), torch.cat([expected, skip], dim=1))


@pytest.mark.parametrize(
    ("bottleneck", "shape"), [(DenseBottleneck, (2, 5)), (ConvBottleneck, (2, 5, 5, 6)), (dense_block, (2, 12, 5, 6))]
)
def test_a_skip_without_channels_gives_the_resolution_and_no_information(bottleneck, shape):
    block = bottleneck(4, 0, shape[1]).eval()
    previous = torch.rand(2, 4, 3, 3)
    first = block(previous, torch.zeros(2, 0, 5, 6))
    assert first.shape == shape
    assert torch.equal(first, block(previous, torch.ones(2, 0, 5, 6)))
    assert not torch.equal(first, block(previous + torch.rand_like(previous), torch.ones(2, 0, 5, 6)))


@pytest.mark.parametrize(("bottleneck", "channels"), [(ConvBottleneck, 5), (dense_block, 14)])
def test_bottlenecks_of_images_name_their_alternative_when_there_are_no_maps(bottleneck, channels):
    with pytest.raises(ConfigurationError, match=r"shape \[2, 6\].*DenseBottleneck"):
        bottleneck(0, 6, channels)(None, torch.rand(2, 6))


def test_kernel_size():
    assert ConvBottleneck(0, 6, 5, kernel_size=5).block[0].kernel_size == (5, 5)
