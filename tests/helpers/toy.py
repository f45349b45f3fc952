"""A small problem with three levels that trains in milliseconds."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.checkpoints.io import AtomicCheckpointIO

TAXONOMY = Taxonomy.from_paths(["a/p/1", "a/p/2", "a/q/3", "b/r/4", "b/r/5"], levels=["kind", "group", "leaf"])
CENTRES = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))


def rows(n: int, depth: int = 3, seed: int = 0, spread: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return inputs [n, 6] around the centre of their leaf, and targets [n, 3] known to ``depth`` levels."""
    generator = torch.Generator().manual_seed(seed)
    leaf = torch.randint(5, (n,), generator=generator)
    x = CENTRES[leaf] + spread * torch.randn(n, 6, generator=generator)
    target = TAXONOMY.lift(leaf, 2)
    target[:, depth:] = -1
    return x, target


def loader(n: int = 32, depth: int = 3, seed: int = 0, batch_size: int = 16) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*rows(n, depth, seed)), batch_size=batch_size)


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1))


def toy_module(cls: type[NestedLightningModule] = NestedLightningModule, **arguments: Any) -> NestedLightningModule:
    arguments = {"taxonomy": TAXONOMY, "feature_channels": 8, "bottleneck_channels": 4, **arguments}
    return cls(arguments.pop("backbone", None) or backbone(), **arguments)


class Fingerprint(Callback):
    """Writes the stage's level and a hash of the state dict to ``rank<N>.txt`` at both ends of epochs and after fit."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        state = pl_module.state_dict().values()
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state)).hexdigest()
        folder = Path(trainer.default_root_dir)
        folder.mkdir(exist_ok=True)
        with open(folder / f"rank{trainer.global_rank}.txt", "a") as file:
            print(pl_module.stage.level, digest, file=file)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)


class Recorder(Logger):
    """Logger that keeps everything in ``rows``."""

    name, version = "recorder", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(dict(metrics))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass


def toy_trainer(root: Path, *callbacks: Callback, **options: Any) -> L.Trainer:
    """Return a stock trainer that writes and prints as little as it can; it saves only with a checkpoint callback."""
    saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    plain = {"accelerator": "cpu", "devices": 1, "max_epochs": -1}
    saving = {"enable_checkpointing": saves, "plugins": [AtomicCheckpointIO()] if saves else None}
    return L.Trainer(default_root_dir=root, callbacks=list(callbacks), **{**quiet, **plain, **saving, **options})


def toy_fit(root: Path, *callbacks: Callback, module: Any = None, data: Any = None, **options: Any) -> Any:
    """Train a toy module on two steps an epoch, or on a data module, and return it; ``ckpt_path`` resumes."""
    module, resume = module or toy_module(), {"ckpt_path": options.pop("ckpt_path", None)}
    loaders = {"datamodule": data} if data else {"train_dataloaders": loader(), "val_dataloaders": loader(seed=1)}
    toy_trainer(root, *callbacks, **options).fit(module, **loaders, **resume)
    return module


def read_metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``metrics.csv``."""
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
