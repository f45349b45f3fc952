"""The network run once over a data loader, for everything that happens after training."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DistributedSampler, IterableDataset, SequentialSampler

from nested_lightning.errors import DataError
from nested_lightning.metrics import NestedMetrics
from nested_lightning.metrics.predictions import Answers
from nested_lightning.module import NestedLightningModule

T = TypeVar("T")


class Outputs(NamedTuple):
    """Of N rows: per level the embeddings ``FloatTensor[N, d_i]``, and the targets ``LongTensor[N, n_levels]``.

    ``dataset[rows[i]]`` is the i-th row; ``rows`` is None where the loader does not tell which rows it gives.
    """

    embeddings: list[Tensor]
    target: Tensor
    dataset: Any
    rows: Tensor | None

    def logits(self, module: NestedLightningModule) -> list[Tensor]:
        """Return per level the logits ``FloatTensor[N, sizes[i] + 1]`` of the heads as they are now."""
        heads = module.network.heads
        return [head.classify(f) for head, f in zip(heads, self.embeddings, strict=False)]


class Measured(NamedTuple):
    """The metrics of a model on N rows, its answers to each of them, and where the rows are, as in ``Outputs``."""

    metrics: NestedMetrics
    answers: Answers
    dataset: Any
    rows: Tensor | None


def has_validation(trainer: L.Trainer) -> bool:
    """Return whether there is a batch to validate on; known from ``on_train_start`` on."""
    return trainer.enable_validation and sum(trainer.num_val_batches) > 0


def tracked(trainer: L.Trainer, steps: Iterable[T], description: str, total: float | None = None) -> Iterable[T]:
    """Return ``steps``, shown on the trainer's progress bar if it is a ``StageProgress``; ``total`` is their number."""
    show = getattr(trainer.progress_bar_callback, "tracked", None)
    if show is None:
        return steps
    return show(steps, sized_len(steps) or math.inf if total is None else total, description)  # type: ignore[no-any-return]


@torch.no_grad()
def run_network(trainer: L.Trainer, module: NestedLightningModule, loader: Any, up_to: int | None = None) -> Outputs:
    """Embed every row of ``loader`` in evaluation mode; with several processes each gets all rows, in their order.

    ``up_to`` is the index of the last level that is run; None: all.
    """
    module.eval()
    if isinstance(loader, (list, tuple)):
        loader = loader[0]  # of several test loaders the first has the rows as they are
    parts = []
    precision = trainer.precision_plugin
    dtype = module.network.heads[0].linear.weight.dtype  # what autocast made smaller is classified outside of it
    for batch in tracked(trainer, loader, "rows through the network"):
        x, target = trainer.strategy.batch_to_device(precision.convert_input(batch))
        with precision.forward_context():
            embeddings = module.network.embed(x, up_to)
        parts.append((*(f.to(dtype) for f in embeddings), target))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    rows = _row_numbers(loader, len(columns[-1]))
    samplers = (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    split = any(isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1 for sampler in samplers)
    stream = isinstance(getattr(loader, "dataset", None), IterableDataset)  # of which each process reads its own part
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
    """Return the numbers of the rows that ``loader`` has given on this process, -1 where it does not tell them."""
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
    """Return the rows of all processes, of which each has had every so-manieth, without those that fill up the last."""
    rows = parts[0].new_empty(sum(map(len, parts)), *parts[0].shape[1:])
    for rank, part in enumerate(parts):
        rows[rank :: len(parts)] = part
    return rows[:n]


def run_test(trainer: L.Trainer, module: NestedLightningModule) -> Outputs | None:
    """Return the outputs on the test part of the data module, None where it has no labelled row."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if not getattr(datamodule, "has_test", False):
        return None
    try:
        datamodule.setup("test")
    except DataError as error:
        rank_zero_warn(f"The test rows cannot be measured on, the validation rows are taken instead: {error}")
        return None
    outputs = run_network(trainer, module, datamodule.test_dataloader())
    return outputs if (outputs.target >= 0).any() else None


@torch.no_grad()
def measure(module: NestedLightningModule, outputs: Outputs) -> Measured:
    """Return the metrics and the answers, calibrated and combined."""
    own = module.own_log_probabilities(outputs.logits(module))
    combined = module.combination(own, module.taxonomy)
    # Every process has all rows.
    metrics = NestedMetrics(module.taxonomy, threshold=module.threshold, sync_on_compute=False).to(module.device)
    metrics.update(combined, outputs.target)
    return Measured(metrics, Answers.of(combined, outputs.target, module.taxonomy), outputs.dataset, outputs.rows)


def values_of(measured: Measured) -> dict[str, float]:
    """Return the metrics as plain numbers, keyed ``LEVEL/accuracy`` and so on."""
    return {name: float(value) for name, value in measured.metrics.compute().items()}
