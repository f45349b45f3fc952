"""A callback for runs of two processes."""

from typing import Any

import lightning as L
import torch
from torch import Tensor


class HalfOfRows(L.Callback):
    """Checks in each of two processes that it gets its half of each stage's rows, and every second one to validate."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.rows.append(0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        self.rows[-1] += len(batch[1])

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        assert trainer.world_size == 2
        assert self.rows == [48, 32, 20]
        validation = data.labelled_dataloader("validation").dataset.targets
        mine = torch.cat([y for _, y in data.val_dataloader()])
        assert torch.equal(mine, validation[trainer.global_rank :: 2])
