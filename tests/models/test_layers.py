"""Batch normalisation, pooling, the double convolution, and the checks of images and arguments."""

import pytest
import torch
from torch import nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import DenseNetEncoder, UNetEncoder
from nested_lightning.models.layers import RobustBatchNorm, double_convolution, global_average


@pytest.mark.parametrize(("twin", "shape"), [(nn.BatchNorm1d, (8, 3)), (nn.BatchNorm2d, (2, 3, 4, 4))])
def test_batch_norm_is_pytorchs_own_for_more_than_one_value_per_channel(twin, shape):
    norm = RobustBatchNorm(3)
    reference = twin(3, eps=norm.eps, momentum=norm.momentum)
    for _ in range(3):
        x = torch.randn(shape) * 5 + 2
        assert torch.equal(norm(x), reference(x))
    assert torch.equal(norm.eval()(x), reference.eval()(x))
    for name, value in reference.state_dict().items():
        assert torch.equal(norm.state_dict()[name], value), name


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
def test_batch_norm_of_a_single_value_uses_the_running_statistics_and_keeps_them(shape):
    norm = RobustBatchNorm(3)
    norm(torch.randn(16, *shape[1:]) + 4)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(shape)
    trained = norm.train()(x)
    assert torch.equal(trained, norm.eval()(x))
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in before.items())
    assert trained.abs().max() > 0
    trained.sum().backward()
    assert norm.weight.grad.isfinite().all()


def test_a_single_image_of_several_pixels_has_batch_statistics():
    norm = RobustBatchNorm(3)
    norm(torch.randn(1, 3, 2, 2) + 4)
    assert norm.num_batches_tracked == 1
    assert (norm.running_mean != 0).all()


def test_batch_norm_is_replaced_by_its_synchronised_twin():
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(double_convolution(2, 3))
    norms = [module for module in converted if isinstance(module, nn.SyncBatchNorm)]
    assert len(norms) == 2
    assert (norms[0].eps, norms[0].momentum) == (RobustBatchNorm(1).eps, RobustBatchNorm(1).momentum)


@pytest.mark.parametrize("spatial", [(), (5,), (4, 3), (2, 3, 4)])
def test_global_average_is_the_mean_over_every_spatial_dimension(spatial):
    x = torch.randn(2, 6, *spatial)
    expected = x if not spatial else x.mean(dim=tuple(range(2, x.ndim)))
    torch.testing.assert_close(global_average(x), expected)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_double_convolution_keeps_the_resolution(kernel_size):
    assert double_convolution(2, 4, kernel_size)(torch.rand(2, 2, 7, 9)).shape == (2, 4, 7, 9)


@pytest.mark.parametrize("encoder", [UNetEncoder(2), DenseNetEncoder(2)])
@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 28, 28), (2, 784)])
def test_images_that_do_not_fit(encoder, shape):
    with pytest.raises(ConfigurationError) as error:
        encoder(torch.rand(shape))
    assert "expects images [batch, 2, height, width]" in str(error.value)
    assert f"shape {list(shape)}" in str(error.value)
    assert "`in_channels`" in str(error.value)


@pytest.mark.parametrize(("model", "arguments", "message"), [
    (UNetEncoder, {"channels": []}, r"`channels` .* got \[\]"),
    (UNetEncoder, {"in_channels": 0}, r"`in_channels` .* got 0"),
    (UNetEncoder, {"dropout": 1.0}, r"`dropout` .* got 1\.0"),
    (UNetEncoder, {"dropout": -0.1}, r"`dropout` .* got -0\.1"),
    *((DenseNetEncoder, {name: 0}, f"`{name}` .* got 0") for name in ("in_channels", "blocks", "layers", "growth")),
])  # fmt: skip
def test_arguments_that_cannot_be_used(model, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        model(**arguments)
