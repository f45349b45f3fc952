"""What the steps of the module share: their batches, the loaders they accept, and the learning rate."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import BatchSizeFinder
from torch import Tensor
from torch.optim import Optimizer

from nested_lightning.errors import ConfigurationError, DataError


def input_and_target(batch: Any) -> tuple[Any, Tensor]:
    """Return the two parts of a batch.

    Raises:
        DataError: the batch is no pair, as of several loaders at once.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], Tensor):
        return batch[0], batch[1]
    got = type(batch).__name__
    if isinstance(batch, (dict, list, tuple)):
        got += " of " + ", ".join(key if isinstance(batch, dict) else type(key).__name__ for key in batch)
    raise DataError(
        f"a batch must be a pair of input and target, a tensor; got a {got}. Pass one loader, of all samples "
        "(torch.utils.data.ConcatDataset), or override training_step and validation_step"
    )


def refuse_several_loaders(kind: str, n: int) -> None:
    """Refuse more than one loader for validation or prediction.

    Raises:
        ConfigurationError: ``n`` is not 1.
    """
    if n > 1:
        raise ConfigurationError(
            f"{kind} takes one data loader, got {n}: join their data sets (torch.utils.data.ConcatDataset), or pass "
            "one after the other. A test takes several"
        )


def refuse_batch_size_finder(trainer: L.Trainer) -> None:
    """Refuse a ``BatchSizeFinder`` of the training batches where none is used: in validation, test and prediction.

    Raises:
        ConfigurationError: there is one, and a data module with another batch size for evaluation.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    if not hasattr(trainer.datamodule, "eval_batch_size"):  # type: ignore[attr-defined]
        return
    for callback in callbacks:
        if isinstance(callback, BatchSizeFinder) and callback._batch_arg_name == "batch_size":
            raise ConfigurationError(
                "BatchSizeFinder would change data.batch_size, that of training: set its batch_arg_name to "
                "eval_batch_size"
            )


def set_learning_rate(optimizer: Optimizer, rate: float | None) -> None:
    """Set the largest rate of the optimizer's parameter groups to ``rate``; the others keep their ratio to it.

    None: leave all as they are.
    """
    if rate is None:
        return
    largest = max(float(group["lr"]) for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["lr"] = rate * (float(group["lr"]) / largest) if largest else rate
