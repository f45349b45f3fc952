"""Temperature scaling (Sec. 4.4, C.3): the second step of calibration."""

from functools import partial
from typing import Literal

import lightning as L
from torch import Tensor

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.evaluation import Outputs, tracked
from nested_lightning.errors import CalibrationError
from nested_lightning.functional.calibration import fit_temperature, log_probabilities
from nested_lightning.module import NestedLightningModule


class TemperatureScaling(Calibrator):
    """Fit one temperature per level on the validation data, never on test data.

    What is calibrated is the answer that is given: level by level, coarse to fine, the temperature is sought that
    fits the level combined with the coarser ones. Fitted to its head alone, a level would come out too sure, since
    Eq. 2 divides the mass that its rejection class holds away again. With the rules ``mean``, ``product`` and
    ``majority_vote``, finer levels change coarser answers too; that is not seen here.

    Args:
        method: ``"ece_grid"``: the one of 50 temperatures between 1 and 3 with the least calibration error (C.3);
            ``"nll"``: the one of least negative log-likelihood, which may be below 1.
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
        for i, logits in enumerate(tracked(trainer, validation.logits(module), "temperatures")):
            logits = logits.detach().cpu().double()
            known = target[:, i] >= 0
            if not known.any():
                raise CalibrationError(
                    f"no validation row has a label at level {module.taxonomy.levels[i]!r}, so no temperature can be "
                    "fitted there: add some to the validation rows, or leave TemperatureScaling out"
                )
            answer = partial(_answer, module, [coarser[known] for coarser in calibrated])
            temperature = fit_temperature(logits[known], target[known, i], self.method, self.bins, answer)
            module.temperatures[i] = temperature
            calibrated.append(log_probabilities(logits, temperature))


def _answer(module: NestedLightningModule, coarser: list[Tensor], own: Tensor) -> Tensor:
    return module.combination([*coarser, own], module.taxonomy)[-1]
