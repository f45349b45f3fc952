"""Temperature scaling (Sec. 4.4, C.3), the second step of calibration."""

from functools import partial
from typing import Literal

import lightning as L
from torch import Tensor

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.evaluation import classify, tracked
from nested_lightning.errors import CalibrationError
from nested_lightning.functional.calibration import fit_temperature, log_probabilities
from nested_lightning.metrics.evaluation import Outputs
from nested_lightning.module import NestedLightningModule


class TemperatureScaling(Calibrator):
    """Fit one temperature per level on the validation data, never on test data.

    Coarse to fine, each level's temperature is fitted to its prediction combined with the coarser levels. Fitted to
    its head alone, a level would be overconfident, because Eq. 2 divides by the mass left after rejection. The rules
    ``mean``, ``product`` and ``majority_vote`` also let finer levels change coarser ones, which the fit ignores.

    Args:
        method: ``"ece_grid"``: of 50 temperatures between 1 and 3 the one with the least calibration error (C.3);
            ``"nll"``: the one with the least negative log-likelihood, which may be below 1.
        bins: of the calibration error.

    Raises:
        CalibrationError: there is no validation data, or a level has no label in it.
    """

    def __init__(self, method: Literal["ece_grid", "nll"] = "ece_grid", bins: int = 15) -> None:
        super().__init__()
        self.method: Literal["ece_grid", "nll"] = method
        self.bins = bins

    def calibrate(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> None:
        target = validation.target.cpu()
        calibrated: list[Tensor] = []
        for i, logits in enumerate(tracked(trainer, classify(module, validation), "temperatures")):
            logits = logits.detach().cpu().double()
            known = target[:, i] >= 0
            if not known.any():
                raise CalibrationError(
                    f"no validation sample has a label at level {module.taxonomy.levels[i]!r}, so no temperature can "
                    "be fitted: add labelled samples to the validation data, or remove TemperatureScaling"
                )
            combine = partial(_combine, module, [coarser[known] for coarser in calibrated])
            temperature = fit_temperature(logits[known], target[known, i], self.method, self.bins, combine)
            module.temperatures[i] = temperature
            calibrated.append(log_probabilities(logits, temperature))


def _combine(module: NestedLightningModule, coarser: list[Tensor], own: Tensor) -> Tensor:
    return module.combination([*coarser, own], module.taxonomy)[-1]
