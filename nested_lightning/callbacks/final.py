"""What a model reaches when its training is done, measured once for all that tell it."""

from typing import NamedTuple

import lightning as L

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.evaluation import Measured, has_validation, measure, run_network, run_test, values_of
from nested_lightning.module import NestedLightningModule


class Final(NamedTuple):
    """Figures of a finished training.

    Attributes:
        split: what was measured on, ``"test"`` or ``"val"``.
        before: metrics before calibration, keyed ``LEVEL/accuracy`` and so on; empty where nothing calibrates.
        after: metrics after calibration.
        measured_before: what ``before`` is of; None where nothing calibrates, or an earlier process has done it.
        measured: what ``after`` is of; None where an earlier process has calibrated.
    """

    split: str
    before: dict[str, float]
    after: dict[str, float]
    measured_before: Measured | None
    measured: Measured | None


def final_figures(trainer: L.Trainer, module: NestedLightningModule) -> Final | None:
    """Return what the calibrating callbacks have measured; without one, measure. None where there are no rows."""
    calibrators = [c for c in trainer.callbacks if isinstance(c, Calibrator)]  # type: ignore[attr-defined]
    if calibrators:
        first, last = calibrators[0], calibrators[-1]
        before = first.measured[0] if first.measured else None
        after = last.measured[1] if last.measured else None
        return Final(first.split, first.before, last.after, before, after)
    test = run_test(trainer, module)
    if test is None and not has_validation(trainer):
        return None
    measured = measure(module, test or run_network(trainer, module, trainer.val_dataloaders))
    return Final("val" if test is None else "test", {}, values_of(measured), None, measured)
