"""Shared by the tests of the cascade: a scripted validation loss, a record of training, samples of uneven depth."""

from typing import Any

import datasets
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from helpers.toy import TAXONOMY, loader, toy_module, toy_trainer
from nested_lightning import HierarchicalDataModule, NestedLightningModule


class Scripted(NestedLightningModule):
    """A module whose validation losses are those of ``script``, one per epoch; the last one repeats."""

    script: tuple[float, ...] = ()

    def validation_step(self, batch, batch_idx):
        epoch = self.trainer.current_epoch
        self.log("val/loss", self.script[min(epoch, len(self.script) - 1)], batch_size=len(batch[0]))

    def on_validation_epoch_end(self):
        pass


class Diary(Callback):
    """Records the network, its optimizer and the batches; put it after the cascade."""

    def __init__(self):
        self.begun = []  # per epoch: stage level, state of the network before its first step
        self.ended = []  # per epoch: state of the network after its last step, before the cascade's decision
        self.rates = []
        self.fresh = []  # per epoch: whether the optimizer has no state
        self.optimized = []
        self.inputs = {}  # per stage level: ids of the rows seen

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.inputs.setdefault(module.stage.level, set()).update(batch[0][:, 0].tolist())
        if batch_idx == 0:
            optimizer = trainer.optimizers[0]
            self.begun.append((module.stage.level, copy_of(module.network)))
            self.rates.append(optimizer.param_groups[0]["lr"])
            self.fresh.append(len(optimizer.state) == 0)
            self.optimized.append({id(p) for group in optimizer.param_groups for p in group["params"]})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.ended.append(copy_of(module.network))

    @property
    def levels(self):
        return [level for level, _ in self.begun]


def copy_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: Any, b: Any) -> bool:
    """Return whether two values, such as state dicts or whole checkpoints, are equal bit by bit."""
    if isinstance(a, torch.Tensor):
        alike = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return alike and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b or (a != a and b != b))


def fit(tmp_path, cascade, module=None, *callbacks, train=None, **options):
    diary, module = Diary(), module or toy_module()
    trainer = toy_trainer(tmp_path, cascade, diary, *callbacks, **options)
    trainer.fit(module, train or loader(), loader(seed=1))
    return trainer, module, diary


def uneven(*sizes: int) -> HierarchicalDataModule:
    """Return so many samples labelled to kind, group and leaf, and 6 for validation; input 0 is a sample's number."""
    depths = [depth for depth, size in enumerate(sizes, start=1) for _ in range(size)] + [3] * 6
    columns = dict(zip(TAXONOMY.levels, zip(*TAXONOMY.nodes(2), strict=True), strict=True))
    table = {
        name: [labels[row % 5] if depth > level else None for row, depth in enumerate(depths)]
        for level, (name, labels) in enumerate(columns.items())
    }
    table["x"] = [[float(row), *[float(row % 5 == k) for k in range(5)]] for row in range(len(depths))]
    rows = datasets.Dataset.from_dict(table)
    n = sum(sizes)
    source = {"train": rows.select(range(n)), "validation": rows.select(range(n, n + 6))}
    return HierarchicalDataModule(source, TAXONOMY, "x", list(TAXONOMY.levels), batch_size=8)
