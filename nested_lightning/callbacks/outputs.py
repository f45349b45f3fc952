"""The network run once over a data loader, for everything that happens after training."""

from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

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
    """Embed every row of ``loader`` in evaluation mode; with several processes each gets all rows."""
    module.eval()
    if isinstance(loader, (list, tuple)):
        loader = loader[0]  # more than one is refused by Lightning, as the module's steps take none
    parts = []
    for batch in loader:
        x, target = trainer.strategy.batch_to_device(batch)
        parts.append((*module.network.embed(x), target))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    sampler = getattr(loader, "sampler", None)
    if isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1:
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, [column.cpu() for column in columns])
        columns = [torch.cat(column).to(module.device) for column in zip(*gathered, strict=True)]
    return Outputs(columns[:-1], columns[-1])


@torch.no_grad()
def measure(module: NestedLightningModule, outputs: Outputs) -> dict[str, float]:
    """Return the metrics of the calibrated and combined answers, keyed ``LEVEL/accuracy`` and so on."""
    own = module.own_log_probabilities(outputs.logits(module))
    metrics = NestedMetrics(module.taxonomy).to(module.device)
    metrics.update(module.combination(own, module.taxonomy), outputs.target)
    return {name: float(value) for name, value in metrics.compute().items()}
