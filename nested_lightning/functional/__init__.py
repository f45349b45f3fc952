"""Functions of tensors: losses, calibration, combination, paths, reliability, selective prediction."""

from nested_lightning.functional.losses import inverse_frequency_weights, marginal_loss, nested_loss

__all__ = ["inverse_frequency_weights", "marginal_loss", "nested_loss"]
