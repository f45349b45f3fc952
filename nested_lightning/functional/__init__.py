"""Plain functions of tensors: losses, calibration, combination, and what metrics and figures are made of."""

from nested_lightning.functional.losses import inverse_frequency_weights, marginal_loss, nested_loss

__all__ = ["inverse_frequency_weights", "marginal_loss", "nested_loss"]
