"""Temperature scaling (Sec. 4.4, C.3), the second step of calibration."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.evaluation import classify, interruptible, split_rows
from nested_lightning.errors import CalibrationError
from nested_lightning.functional.calibration import known_samples, log_probabilities, search_temperature
from nested_lightning.functional.combination import finest_by_temperature
from nested_lightning.metrics.evaluation import Outputs
from nested_lightning.module import NestedLightningModule, as_nested


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
        self._is_checked = True  # the labels of the validation samples

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        # Before training, if the loader has the targets; others are looked at in the first validation.
        loaders: Any = trainer.val_dataloaders
        dataset = getattr(loaders[0] if isinstance(loaders, list) else loaders, "dataset", None)
        target = dataset.tensors[-1] if isinstance(dataset, TensorDataset) else getattr(dataset, "targets", None)
        self._known = torch.zeros(as_nested(pl_module).taxonomy.n_levels)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if isinstance(target, Tensor) and target.shape[1:] == self._known.shape:
            _require_labels((target >= 0).sum(0), pl_module)
        else:
            self._is_checked = trainer.limit_val_batches != 1.0

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        if not self._is_checked:
            self._known = self._known.to(batch[1].device) + (batch[1] >= 0).sum(0)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._is_checked:
            self._is_checked = True
            _require_labels(trainer.strategy.reduce(self._known, reduce_op="sum"), pl_module)

    def calibrate(self, trainer: L.Trainer, module: NestedLightningModule, validation: Outputs) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _require_labels((validation.target >= 0).sum(0), module)
        temperatures: list[float] = []
        for i in range(module.taxonomy.n_levels):
            known = (validation.target[:, i] >= 0).nonzero().flatten()
            if len(known) == 0 and trainer.fast_dev_run:  # type: ignore[attr-defined]
                temperatures.append(1.0)
                continue
            batches = partial(_batches, trainer, module, validation, known, temperatures.copy())
            temperatures.append(search_temperature(batches, self.method, self.bins))
            module.temperatures[i] = temperatures[-1]


def _require_labels(counts: Tensor, module: L.LightningModule) -> None:
    """Raise an error if none of the validation samples has a label at a level; ``counts`` has an entry per level."""
    if missing := [level for level, n in zip(as_nested(module).taxonomy.levels, counts.tolist(), strict=True) if not n]:
        raise CalibrationError(
            f"no validation sample has a label at level {missing[0]!r}, so no temperature can be fitted: add labelled "
            "samples to the validation data, or remove TemperatureScaling"
        )


def _batches(
    trainer: L.Trainer, module: NestedLightningModule, outputs: Outputs, known: Tensor, coarser: list[float]
) -> Iterator[tuple[Callable[[float], Tensor], Tensor]]:
    """Yield the samples ``known`` as :func:`search_temperature` needs them, at the level below the ``coarser`` ones."""
    level, taxonomy = len(coarser), module.taxonomy
    outputs = outputs._replace(embeddings=outputs.embeddings[: level + 1])
    parts = split_rows(known, sum(taxonomy.sizes[: level + 1]))
    for rows in interruptible(trainer, parts, f"temperature, {taxonomy.levels[level]}"):
        *above, own = (z.detach().cpu().double() for z in classify(module, outputs, rows))
        logits, target = known_samples(own, outputs.target[rows, level])
        calibrated = [log_probabilities(z, t) for z, t in zip(above, coarser, strict=True)]
        yield finest_by_temperature(module.combination, calibrated, logits, taxonomy), target
