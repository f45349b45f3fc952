"""Record which samples each process of a run gets."""

from typing import Any

import lightning as L
import torch
from torch import Tensor


class RowsSeen(L.Callback):
    """Writes ``rows-RANK.pt``: samples trained on per epoch, and targets of validation in this process and in all."""

    def __init__(self) -> None:
        self.trained: list[int] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.trained.append(0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        self.trained[-1] += len(batch[1])

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        seen = {
            "processes": trainer.world_size,
            "trained": self.trained,
            "validated": torch.cat([y for _, y in data.val_dataloader()]),
            "validation": data.labelled_dataloader("validation").dataset.targets,
        }
        torch.save(seen, f"{trainer.default_root_dir}/rows-{trainer.global_rank}.pt")
