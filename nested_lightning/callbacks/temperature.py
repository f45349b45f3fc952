"""Temperature scaling (Sec. 4.4, C.3): the second step of calibration."""

from typing import Literal

import lightning as L

from nested_lightning.calibration import fit_temperature
from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.outputs import Outputs
from nested_lightning.module import NestedLightningModule


class TemperatureScaling(Calibrator):
    """Fit one temperature per level on the validation data, never on test data.

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
        for i, logits in enumerate(validation.logits(module)):
            module.temperatures[i] = fit_temperature(
                logits.detach(), validation.target[:, i], method=self.method, bins=self.bins
            )
