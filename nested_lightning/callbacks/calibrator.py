"""What the calibration steps (Sec. 4.4) have in common: they run once, when the weights are final."""

from abc import ABC, abstractmethod
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from nested_lightning.callbacks.evaluation import (
    Measured,
    Outputs,
    has_validation,
    measure,
    run_network,
    run_test,
    values_of,
)
from nested_lightning.errors import CalibrationError
from nested_lightning.module import NestedLightningModule, as_nested


class Calibrator(Callback, ABC):
    """Runs :meth:`calibrate` at the end of training and measures the model before and after it.

    The measurements are of the test part of the data module where it has one (nothing is decided on it), else of
    the validation data. A run killed in between starts this step anew when it is resumed; a finished step is
    not repeated.

    Attributes:
        done: whether the step has been run.
        split: what was measured on, ``"test"`` or ``"val"``.
        before: metrics before the step, keyed ``LEVEL/accuracy`` and so on.
        after: metrics after the step.
        measured: what ``before`` and ``after`` are of, in the process that ran the step; not saved.

    Raises:
        CalibrationError: there is no validation data.
    """

    def __init__(self) -> None:
        self.done = False
        self.split = ""
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.measured: tuple[Measured, Measured] | None = None

    @abstractmethod
    def calibrate(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> None:
        """Change the module's calibration; ``validation`` holds its outputs on the validation data."""

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done, "split": self.split, "before": self.before, "after": self.after}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        # A new fit calibrates anew; on resuming, what is done is restored after this.
        if stage == "fit":
            self.done = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not has_validation(trainer):
            raise CalibrationError(
                f"{type(self).__name__} needs validation data and there is none: set data.validation, pass "
                "val_dataloaders to Trainer.fit, or leave this callback out"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = as_nested(pl_module)
        if self.done or trainer.fast_dev_run or not module.stage.finished:  # type: ignore[attr-defined]
            return
        validation = run_network(trainer, module, trainer.val_dataloaders)
        test = run_test(trainer, module)
        self.split, measured = ("val", validation) if test is None else ("test", test)
        before = measure(module, measured)
        self.before = values_of(before)
        self.calibrate(trainer, module, validation)
        self.done = True
        after = measure(module, measured)
        self.measured, self.after = (before, after), values_of(after)
        rank_zero_info(f"{type(self).__name__}: done")
