"""The evaluation of a model when its training ends, before and after calibration."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from nested_lightning.metrics.nested import NestedMetrics
from nested_lightning.metrics.predictions import EvaluatedPredictions


class Outputs(NamedTuple):
    """The network's outputs for N samples.

    Attributes:
        embeddings: per level a ``FloatTensor[N, d_i]``.
        target: ``LongTensor[N, n_levels]``.
        dataset: of the samples: ``dataset[rows[i]]`` is the i-th.
        rows: ``LongTensor[N]``, or None where the loader does not reveal its order.
    """

    embeddings: list[Tensor]
    target: Tensor
    dataset: Any
    rows: Tensor | None


class Measured(NamedTuple):
    """The metrics and predictions of a model for N samples; ``dataset`` and ``rows`` as in :class:`Outputs`."""

    metrics: NestedMetrics
    predictions: EvaluatedPredictions
    dataset: Any
    rows: Tensor | None

    def values(self) -> dict[str, float]:
        """Return the metrics as plain numbers, keyed ``LEVEL/accuracy`` and so on."""
        return {name: float(value) for name, value in self.metrics.compute().items()}


@dataclass
class Evaluation:
    """The evaluation of a trained model, the attribute ``evaluation`` of a ``NestedLightningModule``.

    Checkpoints keep its numbers. What was measured is lost when the process ends: after resuming, ``measured`` and
    ``uncalibrated`` are None.

    Attributes:
        split: the samples it was measured on, ``"test"`` or ``"val"``.
        before: metrics before calibration, keyed ``LEVEL/accuracy`` and so on; empty without calibration.
        after: metrics after calibration, so far.
        uncalibrated: what ``before`` was computed from.
        measured: what ``after`` was computed from.
        outputs: the network's outputs by split, run once for all calibration steps.
    """

    split: str
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    uncalibrated: Measured | None = None
    measured: Measured | None = None
    outputs: dict[str, Outputs] = field(default_factory=dict)

    def update(self, measured: Measured) -> None:
        """Add a measurement: the first is of the uncalibrated model, each other follows a step of calibration."""
        if self.after and not self.before:
            self.before, self.uncalibrated = self.after, self.measured
        self.after, self.measured = measured.values(), measured

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the arguments ``split``, ``before`` and ``after``."""
        return {"split": self.split, "before": self.before, "after": self.after}
