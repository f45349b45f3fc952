"""What the calibration steps (Sec. 4.4) have in common: they run once, when the weights are final."""

from abc import ABC, abstractmethod
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from nested_lightning.callbacks.outputs import Outputs, has_validation, measure, run_network
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
        before: metrics before the step, keyed as in :func:`measure`.
        after: metrics after the step.

    Raises:
        CalibrationError: there is no validation data.
    """

    def __init__(self) -> None:
        self.done = False
        self.split = ""
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}

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
        self.split, measured = self._measured(trainer, module, validation)
        self.before = measure(module, measured)
        self.calibrate(trainer, module, validation)
        self.done = True
        self.after = measure(module, measured)
        rank_zero_info(f"{type(self).__name__}: done")

    def _measured(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> tuple[str, Outputs]:
        loader = test_loader(trainer)
        return ("val", validation) if loader is None else ("test", run_network(trainer, module, loader))


def test_loader(trainer: L.Trainer) -> Any:
    """Return the loader of the data module's test part, or None where it has none."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if not getattr(datamodule, "has_test", False):
        return None
    datamodule.setup("test")
    return datamodule.test_dataloader()
