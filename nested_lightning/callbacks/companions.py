"""What works beside the cascade and calibration: averages of weights are kept up to date, other things refused."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from nested_lightning.errors import ConfigurationError
from nested_lightning.module import NestedLightningModule

_REFUSED = {
    StochasticWeightAveraging: "averages the weights of all stages and replaces their learning rates: use "
    "EMAWeightAveraging or WeightAveraging of lightning.pytorch.callbacks, whose averages begin anew in every stage",
    BaseFinetuning: "freezes and unfreezes weights, as does the cascade for its stages: remove it. A backbone that "
    "you freeze before training (model.network.backbone.requires_grad_(False)) stays frozen; for a smaller learning "
    "rate, give `optimizer` parameter groups",
    LearningRateFinder: "finds one learning rate, in the first stage, while each stage of the cascade has its own: "
    "find it with a trainer without CascadeTraining (Tuner(trainer).lr_find), and set cascade.learning_rate",
}


def refuse_companions(trainer: L.Trainer, levels: Sequence[str], stages: Sequence[int]) -> None:
    """Refuse the options and callbacks of the trainer that cannot work beside a cascade.

    Args:
        trainer: knows its options and callbacks.
        levels: names of the levels, coarse to fine.
        stages: the stages' levels, as indices.

    Raises:
        ConfigurationError: a strategy that splits weights, epochs without validation, or a callback that does what
            the cascade does or monitors a value that the stages do not share.
    """
    if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy)):
        raise ConfigurationError(
            f"cascaded training freezes and restores whole weights, but {type(trainer.strategy).__name__} splits "
            "them over the processes: set trainer.strategy to ddp. To save memory, freeze the backbone, set "
            "trainer.precision to bf16-true, or lower data.batch_size and set trainer.accumulate_grad_batches"
        )
    if trainer.check_val_every_n_epoch != 1:
        raise ConfigurationError(
            "cascaded training decides after every epoch: set trainer.check_val_every_n_epoch to 1, "
            f"got {trainer.check_val_every_n_epoch}"
        )
    if trainer.barebones:
        raise ConfigurationError(
            "trainer.barebones switches off the metrics that the cascade decides by: set it to false, and the loggers "
            "and checkpoints that you do not need as well"
        )
    if (trainer.min_epochs or 0) > 1 or trainer.min_steps:
        raise ConfigurationError(
            "trainer.min_epochs and trainer.min_steps would train on after the last stage has ended: leave them out, "
            "and set cascade.patience to train longer"
        )
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        name = type(callback).__name__
        for refused, remedy in _REFUSED.items():
            if isinstance(callback, refused):
                raise ConfigurationError(f"{name} {remedy}")
        monitor = getattr(callback, "monitor", None)
        if len(stages) == 1 or trainer.state.fn != "fit":
            continue
        if isinstance(callback, BatchSizeFinder):
            rank_zero_warn(
                f"{name} tries the first of {len(stages)} stages; later stages run more of the network and need more "
                "memory: leave a margin, or set data.batch_size"
            )
        if isinstance(monitor, str) and (why := _why_not_monitor(monitor, levels, stages[0], callback)):
            raise ConfigurationError(
                f"{name}(monitor={monitor!r}) cannot work beside several stages: {why}. Monitor "
                "'val/correct_levels' with mode='max', which can be compared across stages; a stage ends after "
                "cascade.patience epochs without improvement"
            )


def _why_not_monitor(monitor: str, levels: Sequence[str], first: int, callback: Any) -> str | None:
    split, _, rest = monitor.partition("/")
    name = rest.split("/")[0]
    if split not in ("train", "val"):
        return None
    if name in levels[first + 1 :] and getattr(callback, "strict", True):
        return f"the first stage trains up to {levels[first]!r} and has no metrics of {name!r}"
    if name in ("loss", "path") and name not in levels:
        return "each stage adds a level to it, so its values cannot be compared"
    return None


def refuse_later_averages(trainer: L.Trainer, calibrator: Any) -> None:
    """Refuse a ``StochasticWeightAveraging`` that would replace the weights after they are calibrated.

    Raises:
        ConfigurationError: it follows ``calibrator`` in the list of callbacks.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks[callbacks.index(calibrator) :] if calibrator in callbacks else ():
        if isinstance(callback, StochasticWeightAveraging):
            raise ConfigurationError(
                f"StochasticWeightAveraging would replace the weights after {type(calibrator).__name__} has calibrated "
                "them: place it before in the list of callbacks"
            )


def warn_of_other_rates(trainer: L.Trainer, planned: float) -> None:
    """Warn that an overridden ``configure_optimizers`` does not use the ``planned`` learning rate of the stage."""
    rates = [float(group.get("initial_lr", group["lr"])) for o in trainer.optimizers for group in o.param_groups]
    if rates and planned not in rates:
        rank_zero_warn(
            f"cascade.learning_rate is not used: {type(trainer.lightning_module).__name__}.configure_optimizers sets "
            f"the learning rate {max(rates):g}. Remove cascade.learning_rate, or use self.stage.learning_rate there"
        )


def current_weights(trainer: L.Trainer, module: NestedLightningModule) -> dict[str, Tensor]:
    """Return the state that is validated and saved: the average where a ``WeightAveraging`` keeps one."""
    averages = _averages(trainer)
    return (averages[-1].module if averages else module).state_dict()


def begin_averages(trainer: L.Trainer, module: NestedLightningModule, anew: bool = True) -> None:
    """Let the averages of weights begin with the module as it is; unless ``anew``, only those of nothing yet.

    Until its first update Lightning's average is the network before training, and would be validated.
    """
    for average in _averages(trainer):
        if anew or not average.n_averaged:
            average.module.load_state_dict(module.state_dict())
            average.n_averaged.zero_()


def use_averages(trainer: L.Trainer, module: NestedLightningModule) -> None:
    """Give the module its averaged weights, as ``WeightAveraging`` does at the end of training."""
    begin_averages(trainer, module, anew=False)
    for average in _averages(trainer):
        module.load_state_dict(average.module.state_dict())


def _averages(trainer: L.Trainer) -> list[AveragedModel]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    kept = [callback._average_model for callback in callbacks if isinstance(callback, WeightAveraging)]
    return [average for average in kept if average is not None]
