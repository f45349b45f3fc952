"""Transforms of images."""

from nested_lightning.transforms.turbulence import Turbulence, turbulence

__all__ = ["Turbulence", "turbulence"]
