"""Distortion of images as if seen through turbulent air (Alg. 1, Appendix F)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, grid_sample

from nested_lightning.errors import ConfigurationError, DataError


class Turbulence(nn.Module):
    """Distort each image by its own smooth random field, drawn from torch's global generator.

    Levels 1 to 4 of the paper are strengths 0.8, 1, 1.3 and 1.5 with smoothness 1.

    Args:
        strength: T, the standard deviation of the displacement in pixels, along each axis.
        smoothness: S, the standard deviation in pixels of the Gaussian filter, which moves neighbours alike.

    Shape:
        - input and output: float images ``[C, H, W]`` or ``[B, C, H, W]``

    Raises:
        ConfigurationError: a strength or smoothness that is not positive.
        DataError: the input is not float images.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> images = torch.rand(2, 1, 28, 28)
        >>> Turbulence(strength=1.3)(images).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(self, strength: float, smoothness: float = 1.0) -> None:
        super().__init__()
        for name, value in (("strength", strength), ("smoothness", smoothness)):
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"Turbulence: `{name}` is a number of pixels above 0, got {value}")
        self.strength, self.smoothness = strength, smoothness

    def forward(self, images: Tensor) -> Tensor:
        """Return the images, each distorted by its own field, which its channels share."""
        if images.ndim not in (3, 4) or not images.is_floating_point():
            raise DataError(
                f"Turbulence needs float images [C, H, W] or [B, C, H, W], got {images.dtype} {list(images.shape)}"
            )
        batch = images if images.ndim == 4 else images[None]
        noise = torch.randn(len(batch), 2, *batch.shape[2:], device=batch.device)
        return turbulence(batch, noise, self.strength, self.smoothness).reshape(images.shape)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"strength={self.strength}, smoothness={self.smoothness}"


def turbulence(images: Tensor, noise: Tensor, strength: float, smoothness: float) -> Tensor:
    """Return images distorted by the fields computed from ``noise`` (Alg. 1).

    Each component of the noise is smoothed with a Gaussian filter and scaled to the standard deviation ``strength``.
    Each pixel then gets the value, by bilinear interpolation, of the place its field points to; beyond the border the
    image continues with the border's value.

    Args:
        images: float ``[B, C, H, W]``.
        noise: standard normal ``[B, 2, H, W]``: per image the displacement u along the width and v along the height.
        strength: T in pixels.
        smoothness: S in pixels.
    """
    height, width = images.shape[2:]
    field = _smoothed(_smoothed(noise.to(images), smoothness).mT, smoothness).mT
    field = field * strength / field.std(dim=(2, 3), correction=0, keepdim=True)
    rows, columns = (torch.arange(n, device=field.device) for n in (height, width))
    x, y = columns + field[:, 0], rows[:, None] + field[:, 1]
    # The centres of the outermost pixels are -1 and 1; an image of one pixel across has its only one at 0.
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=3)
    return grid_sample(images, grid.to(images), mode="bilinear", padding_mode="border", align_corners=True)


def _smoothed(noise: Tensor, sigma: float) -> Tensor:
    """Return ``noise`` filtered along its last dimension and mirrored at its ends, like scipy's gaussian_filter."""
    radius, size = int(4 * sigma + 0.5), noise.shape[-1]
    places = torch.arange(-radius, size + radius, device=noise.device) % (2 * size)
    mirrored = noise[..., torch.where(places < size, places, 2 * size - 1 - places)]
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).to(noise) / sigma) ** 2)
    kernel = (weights / weights.sum()).reshape(1, 1, -1)
    return conv1d(mirrored.reshape(-1, 1, mirrored.shape[-1]), kernel).reshape(noise.shape)
