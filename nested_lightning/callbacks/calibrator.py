"""What the calibration steps (Sec. 4.4) share: each runs once, when training is finished."""

from abc import ABC, abstractmethod
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from nested_lightning.callbacks.companions import begin_averages, refuse_later_averages
from nested_lightning.callbacks.evaluation import evaluate, has_validation, measure, outputs_of
from nested_lightning.errors import CalibrationError
from nested_lightning.metrics.evaluation import Outputs
from nested_lightning.module import NestedLightningModule, as_nested


class Calibrator(Callback, ABC):
    """Run :meth:`calibrate` at the end of training and measure the model again, into ``module.evaluation``.

    Nothing is decided on the samples that are measured if the data module has a test part; else they are the
    validation samples. A resumed run repeats the step that was interrupted, but not those that are done.

    Attributes:
        done: whether the step has run.

    Raises:
        CalibrationError: there is no validation data.
        ConfigurationError: a callback would replace the weights after they are calibrated.
    """

    def __init__(self) -> None:
        self.done = False

    @abstractmethod
    def calibrate(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> None:
        """Change the module's heads or temperatures; ``validation`` holds its outputs for the validation samples."""

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done = state_dict["done"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":  # on resuming, a checkpoint restores it after this
            self.done = False
            refuse_later_averages(trainer, self)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not has_validation(trainer):
            raise CalibrationError(
                f"{type(self).__name__} needs validation data: set data.validation, pass val_dataloaders to "
                f"Trainer.fit, or remove {type(self).__name__}"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if self.done or not module.stage.finished:
            return
        evaluation = evaluate(trainer, module)
        assert evaluation is not None  # there is validation data
        self.calibrate(trainer, module, outputs_of(trainer, module, "val"))
        begin_averages(trainer, module)  # they are what is saved
        self.done = True
        evaluation.update(measure(module, outputs_of(trainer, module, evaluation.split)))
        rank_zero_info(f"{type(self).__name__}: done")
