"""Turbulence, against SciPy's filter and interpolation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from nested_lightning.errors import ConfigurationError, DataError
from nested_lightning.transforms import Turbulence, turbulence


def reference(image, noise, strength, smoothness):
    """Algorithm 1 for one image [C, H, W], with SciPy."""
    u, v = (gaussian_filter(component, smoothness) for component in noise)
    u, v = u * strength / u.std(), v * strength / v.std()
    rows, columns = np.mgrid[: image.shape[1], : image.shape[2]]
    return np.stack([map_coordinates(c, [rows + v, columns + u], order=1, mode="nearest") for c in image])


@pytest.mark.parametrize(("strength", "smoothness"), [(0.8, 1.0), (1.5, 1.0), (3.0, 0.4), (2.0, 2.7)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 9, 14), (1, 5, 3), (1, 2, 7)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_scipy(shape, strength, smoothness, dtype):
    rng = np.random.default_rng(0)
    images, noise = rng.random((3, *shape)), rng.standard_normal((3, 2, *shape[1:]))
    got = turbulence(torch.tensor(images, dtype=dtype), torch.tensor(noise, dtype=dtype), strength, smoothness)
    expected = np.stack([reference(i, n, strength, smoothness) for i, n in zip(images, noise, strict=True)])
    assert got.dtype == dtype
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12 if dtype == torch.float64 else 2e-5)


def test_each_image_has_a_field_of_its_own_and_its_channels_share_it():
    torch.manual_seed(0)
    one = torch.rand(1, 1, 16, 16)
    got = Turbulence(1.0)(one.expand(2, 3, 16, 16).clone())
    assert not torch.allclose(got[0], got[1])
    torch.testing.assert_close(got[:, 0], got[:, 2])


def test_the_same_seed_gives_the_same_images_of_a_batch_or_alone():
    image = torch.rand(1, 12, 12)
    torch.manual_seed(3)
    first = Turbulence(1.0)(image)
    torch.manual_seed(3)
    torch.testing.assert_close(Turbulence(1.0)(image[None])[0], first, rtol=0, atol=0)
    assert first.shape == image.shape and not torch.equal(Turbulence(1.0)(image), first)


def test_a_plain_image_stays_and_values_stay_in_range():
    torch.manual_seed(0)
    torch.testing.assert_close(Turbulence(2.0)(torch.full((1, 8, 8), 0.3)), torch.full((1, 8, 8), 0.3))
    got = Turbulence(5.0)(torch.rand(4, 1, 20, 20))
    assert got.min() >= 0 and got.max() <= 1


def test_more_strength_moves_more():
    torch.manual_seed(0)
    image, noise = torch.rand(8, 1, 28, 28), torch.randn(8, 2, 28, 28)
    moved = [float((turbulence(image, noise, t, 1.0) - image).abs().mean()) for t in (0.2, 0.8, 1.5)]
    assert moved == sorted(moved)


@pytest.mark.parametrize(
    "options",
    [{"strength": 0}, {"strength": 1, "smoothness": -1}, {"strength": float("nan")}, {"strength": float("inf")}],
)
def test_refuses_what_is_no_number_of_pixels(options):
    with pytest.raises(ConfigurationError, match="number of pixels above 0"):
        Turbulence(**options)


@pytest.mark.parametrize("images", [torch.zeros(8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8)])
def test_refuses_what_is_no_float_image(images):
    with pytest.raises(DataError, match=r"float images \[C, H, W\]"):
        Turbulence(1.0)(images)
