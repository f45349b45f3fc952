"""The network run once over a data loader, for everything that happens after training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DistributedSampler, IterableDataset

from nested_lightning.errors import DataError
from nested_lightning.metrics import NestedMetrics
from nested_lightning.module import NestedLightningModule


class Outputs(NamedTuple):
    """Of N rows: per level the embeddings ``FloatTensor[N, d_i]``, and the targets ``LongTensor[N, n_levels]``."""

    embeddings: list[Tensor]
    target: Tensor

    def logits(self, module: NestedLightningModule) -> list[Tensor]:
        """Return per level the logits ``FloatTensor[N, sizes[i] + 1]`` of the heads as they are now."""
        heads = module.network.heads
        return [head.classify(f) for head, f in zip(heads, self.embeddings, strict=True)]


def has_validation(trainer: L.Trainer) -> bool:
    """Return whether there is a batch to validate on; known from ``on_train_start`` on."""
    return trainer.enable_validation and sum(trainer.num_val_batches) > 0


@torch.no_grad()
def run_network(trainer: L.Trainer, module: NestedLightningModule, loader: Any) -> Outputs:
    """Embed every row of ``loader`` in evaluation mode; with several processes each gets all rows, in their order."""
    module.eval()
    if isinstance(loader, (list, tuple)):
        loader = loader[0]  # of several test loaders the first has the rows as they are
    parts = []
    precision = trainer.precision_plugin
    dtype = module.network.heads[0].linear.weight.dtype  # what autocast made smaller is classified outside of it
    for batch in loader:
        x, target = trainer.strategy.batch_to_device(precision.convert_input(batch))
        with precision.forward_context():
            embeddings = module.network.embed(x)
        parts.append((*(f.to(dtype) for f in embeddings), target))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    samplers = (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    split = any(isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1 for sampler in samplers)
    stream = isinstance(getattr(loader, "dataset", None), IterableDataset)  # of which each process reads its own part
    if split or (stream and trainer.world_size > 1):
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, [column.cpu() for column in columns])
        columns = [
            (torch.cat(rows) if stream else _in_order(rows, len(loader.dataset))).to(module.device)
            for rows in zip(*gathered, strict=True)
        ]
    return Outputs(columns[:-1], columns[-1])


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
def measure(module: NestedLightningModule, outputs: Outputs) -> NestedMetrics:
    """Return the metrics of the calibrated and combined answers."""
    own = module.own_log_probabilities(outputs.logits(module))
    # Every process has all rows.
    metrics = NestedMetrics(module.taxonomy, threshold=module.threshold, sync_on_compute=False).to(module.device)
    metrics.update(module.combination(own, module.taxonomy), outputs.target)
    return metrics
