"""How answers hold up on images that are changed: distortions (Appendix F) and attacks (Sec. 5)."""

from nested_lightning.robustness.attacks import attack
from nested_lightning.robustness.minimal import epsilon_at_error_rates, minimal_fgsm
from nested_lightning.robustness.turbulence import Turbulence, turbulence

__all__ = [
    "Turbulence",
    "attack",
    "epsilon_at_error_rates",
    "minimal_fgsm",
    "turbulence",
]
