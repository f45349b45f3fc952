"""Run the network over whole data sets, and evaluate the model when training ends."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DistributedSampler, IterableDataset, SequentialSampler

from nested_lightning.callbacks.signals import EndRequests
from nested_lightning.errors import DataError
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.evaluation import Evaluation, Measured, Outputs
from nested_lightning.metrics.predictions import EvaluatedPredictions
from nested_lightning.module import NestedLightningModule

T = TypeVar("T")
CELLS = 2**18
"""Numbers in a batch of :func:`split_rows`."""


def evaluate(trainer: L.Trainer, module: NestedLightningModule) -> Evaluation | None:
    """Return the module's evaluation at the end of training, None without samples to measure on.

    The first call measures: on the test part of the data module where it has one, else on the validation data. Every
    process has to call it.
    """
    if module.evaluation is None:
        test = run_test(trainer, module)
        if test is None and not has_validation(trainer):
            return None
        split = "val" if test is None else "test"
        module.evaluation = Evaluation(split, outputs={} if test is None else {split: test})
        module.evaluation.update(measure(module, outputs_of(trainer, module, split)))
    return module.evaluation


def outputs_of(trainer: L.Trainer, module: NestedLightningModule, split: str) -> Outputs:
    """Return the network's outputs for the validation (``"val"``) or test samples; run once, and kept.

    The module has an evaluation, and for ``"test"`` its samples were measured on.
    """
    assert module.evaluation is not None
    kept = module.evaluation.outputs
    if split not in kept:  # also where a process before this one has begun to calibrate
        test = run_test(trainer, module) if split == "test" else None
        kept[split] = test or run_network(trainer, module, trainer.val_dataloaders)
    return kept[split]


def has_validation(trainer: L.Trainer) -> bool:
    """Return whether there is any validation batch; known from ``on_train_start`` on."""
    return trainer.enable_validation and sum(trainer.num_val_batches) > 0


def tracked(trainer: L.Trainer, steps: Iterable[T], description: str, total: float | None = None) -> Iterable[T]:
    """Return ``steps``, of which there are ``total``; a ``StageProgress`` shows their progress."""
    show = getattr(trainer.progress_bar_callback, "tracked", None)
    if show is None:
        return steps
    return show(steps, sized_len(steps) or math.inf if total is None else total, description)  # type: ignore[no-any-return]


def interruptible(trainer: L.Trainer, steps: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yield ``steps`` that are the same in all processes, as :func:`tracked`.

    Raises:
        SIGTERMException: before a step, if the run was asked to end.
    """
    for step in tracked(trainer, steps, description, total):
        EndRequests.follow(trainer)
        yield step


@torch.no_grad()
def run_network(trainer: L.Trainer, module: NestedLightningModule, loader: Any, up_to: int | None = None) -> Outputs:
    """Embed every sample of ``loader`` in evaluation mode; each of several processes gets all samples, in order.

    Args:
        trainer: knows devices, precision and processes.
        module: its network is run.
        loader: gives batches of inputs and targets; of a list the first loader is taken.
        up_to: index of the last level to run; None: all.
    """
    module.eval()
    if isinstance(loader, (list, tuple)):
        loader = loader[0]  # of several test loaders the first has the undistorted samples
    parts = []
    precision = trainer.precision_plugin
    dtype = module.network.heads[0].linear.weight.dtype  # heads run outside autocast
    for batch in tracked(trainer, loader, "samples through the network"):
        x, target = trainer.strategy.batch_to_device(precision.convert_input(batch))
        with precision.forward_context():
            embeddings = module.network.embed(x, up_to)
        parts.append((*(f.to(dtype) for f in embeddings), target))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    rows = _row_numbers(loader, len(columns[-1]))
    samplers = (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    split = any(isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1 for sampler in samplers)
    stream = isinstance(getattr(loader, "dataset", None), IterableDataset)  # each process reads its own part
    if split or (stream and trainer.world_size > 1):
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, [column.cpu() for column in (*columns, rows)])
        *columns, rows = [
            (torch.cat(parts) if stream else _in_order(parts, len(loader.dataset))).to(module.device)
            for parts in zip(*gathered, strict=True)
        ]
    known = rows.cpu() if bool((rows >= 0).all()) else None
    return Outputs(columns[:-1], columns[-1], getattr(loader, "dataset", None), known)


def _row_numbers(loader: Any, n: int) -> Tensor:
    """Return the row numbers of the samples that ``loader`` has given to this process, -1 if they are unknown."""
    sampler: Any = getattr(loader, "sampler", None)
    in_order = isinstance(sampler, SequentialSampler) or (
        isinstance(sampler, DistributedSampler) and not sampler.shuffle
    )
    if in_order and getattr(loader, "batch_size", None) is not None:
        numbers = torch.tensor(list(sampler)[:n], dtype=torch.long)
        if len(numbers) == n:
            return numbers
    return torch.full((n,), -1)


def _in_order(parts: Sequence[Tensor], n: int) -> Tensor:
    """Interleave the processes' outputs into the order of the data set and drop the sampler's padding."""
    rows = parts[0].new_empty(sum(map(len, parts)), *parts[0].shape[1:])
    for rank, part in enumerate(parts):
        rows[rank :: len(parts)] = part
    return rows[:n]


def run_test(trainer: L.Trainer, module: NestedLightningModule) -> Outputs | None:
    """Return the outputs for the test part of the data module, None if it has no labelled sample."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if not getattr(datamodule, "has_test", False):
        return None
    try:
        datamodule.setup("test")
    except DataError as error:
        rank_zero_warn(f"The test samples cannot be used, the validation samples are measured instead: {error}")
        return None
    outputs = run_network(trainer, module, datamodule.test_dataloader())
    return outputs if (outputs.target >= 0).any() else None


def split_rows(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """Split row numbers into batches whose ``width`` numbers per row fit into a processor's cache."""
    parts: tuple[Tensor, ...] = rows.split(max(1, CELLS // width))
    return parts


def classify(module: NestedLightningModule, outputs: Outputs, rows: Tensor) -> list[Tensor]:
    """Return per level the logits ``FloatTensor[len(rows), sizes[i] + 1]`` of the heads as they are now."""
    return [head.classify(f[rows]) for head, f in zip(module.network.heads, outputs.embeddings, strict=False)]


@torch.no_grad()
def measure(module: NestedLightningModule, outputs: Outputs) -> Measured:
    """Return the metrics and the predictions, calibrated and combined."""
    # Every process has all samples.
    metrics = NestedMetrics(module.taxonomy, threshold=module.threshold, sync_on_compute=False).to(module.device)
    parts, rows = [], torch.arange(len(outputs.target), device=outputs.target.device)
    for batch in split_rows(rows, sum(module.taxonomy.sizes)):
        combined, target = module.combined_log_probabilities(classify(module, outputs, batch)), outputs.target[batch]
        metrics.update(combined, target)
        parts.append(EvaluatedPredictions.from_log_probabilities(combined, target, module.taxonomy))
    return Measured(metrics, EvaluatedPredictions.cat(parts), outputs.dataset, outputs.rows)
