"""The data module with a stock Trainer: stages, resuming in mid-epoch, prediction, two processes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from faults.runs import Run
from helpers.interrupted import KilledError, SaveAndDie
from helpers.killed_run import Server
from helpers.toy import toy_trainer
from torch import Tensor, nn
from torch.nn import functional as F

from nested_lightning.data import HierarchicalDataModule
from nested_lightning.stage import Stage


class Tiny(L.LightningModule):
    """One linear head per level; records the targets of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(level=2)
        self.heads = nn.ModuleList(nn.Linear(64, size) for size in (2, 4, 10))
        self.seen: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, target = batch
        self.seen.append(target)
        losses = [
            F.cross_entropy(head(x.flatten(1)), target[:, i], ignore_index=-1, reduction="sum")
            for i, head in enumerate(self.heads)
        ]
        return torch.stack(losses).sum() / len(x)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, target = batch
        accuracy = (self.heads[0](x.flatten(1)).argmax(1) == target[:, 0]).float().mean()
        self.log("accuracy", accuracy, batch_size=len(x))

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return batch[0].flatten(1).sum(1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-2)


class NextStage(L.Callback):
    """One epoch per stage, D_1, D_2, D_3, all within one fit."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Tiny)
        pl_module.stage = Stage(level=min(pl_module.stage.level + 1, 2), data="exact")
        trainer.reload_dataloaders_every_n_epochs = 1


def digits(**kwargs: Any) -> HierarchicalDataModule:
    kwargs = {"budgets": [96, 64, 40], "validation": 0.2, "test": 0.2, "batch_size": 16, "seed": 0, **kwargs}
    return HierarchicalDataModule("digits", "taxonomies/digits.yaml", **kwargs)


def test_each_stage_trains_on_its_rows(tmp_path: Path) -> None:
    model = Tiny()
    model.stage = Stage(level=0, data="exact")
    toy_trainer(tmp_path, NextStage(), max_epochs=3).fit(model, digits())
    depths = (torch.cat(model.seen) >= 0).sum(1).tolist()
    assert depths == [1] * 96 + [2] * 64 + [3] * 40


def test_without_a_stage_all_rows_are_trained_in_a_new_order_each_epoch(tmp_path: Path) -> None:
    model = Tiny()
    del model.stage
    run = toy_trainer(tmp_path, max_epochs=12)
    run.fit(model, digits())
    first, second = torch.cat(model.seen).split(200)[:2]
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert not torch.equal(first, second)
    assert float(run.callback_metrics["accuracy"]) > 0.8


def test_a_stage_without_rows_of_its_own_takes_those_labelled_further() -> None:
    data = digits(budgets=[10, 0, 40])
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=1, global_rank=0, lightning_module=SimpleNamespace(stage=Stage(level=1, data="exact"))
    )
    targets = torch.cat([target for _, target in data.train_dataloader()])
    assert len(targets) == 40
    assert (targets >= 0).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_resumes_in_mid_epoch_bit_by_bit(tmp_path: Path, workers: int) -> None:
    def data() -> HierarchicalDataModule:
        return digits(num_workers=workers, augmentation=lambda x: x + 0.1 * torch.rand(1))

    torch.manual_seed(0)
    whole, cut, resumed = Tiny(), Tiny(), Tiny()
    cut.load_state_dict(whole.state_dict())
    toy_trainer(tmp_path, max_epochs=3).fit(whole, data())
    path = tmp_path / "cut.ckpt"
    with pytest.raises(KilledError):  # 13 batches an epoch: saved after the fifth of the second
        toy_trainer(tmp_path, SaveAndDie(path, 18), max_epochs=3).fit(cut, data())
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["HierarchicalDataModule"]
    assert (state["seed"], state["input_shape"], state["rows"]["count"]) == (0, [1, 8, 8], 1797)
    toy_trainer(tmp_path, max_epochs=3).fit(resumed, data(), ckpt_path=str(path))
    assert torch.equal(torch.cat([*cut.seen[:18], *resumed.seen]), torch.cat(whole.seen))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_test_and_predict_and_overfitting(tmp_path: Path) -> None:
    run, data = toy_trainer(tmp_path), digits()
    answers = run.predict(Tiny(), data)
    data.setup("predict")
    inputs = torch.cat([x for x, _ in data.labelled_dataloader("predict")])
    torch.testing.assert_close(torch.cat(answers), inputs.flatten(1).sum(1))  # type: ignore[arg-type]
    few = Tiny()
    toy_trainer(tmp_path, overfit_batches=1, max_epochs=3).fit(few, digits())
    assert torch.equal(few.seen[0], few.seen[2])


def test_no_validation_rows(tmp_path: Path) -> None:
    model = Tiny()
    toy_trainer(tmp_path, max_epochs=1).fit(model, digits(validation=0))
    assert len(model.seen) == 13


def test_two_processes(server: Server, tmp_path: Path) -> None:
    """Not forked from this process: after another test's group, gloo would wait forever in a fork."""
    options = ["--data.budgets=[96,64,40]", "--data.validation=201", "--data.eval_batch_size=50"]
    options += ["--cascade.max_epochs=1", "--trainer.callbacks+=helpers.rows_seen.RowsSeen"]
    Run(server, tmp_path, *options, processes=2).finish()
    for rank in range(2):
        seen = torch.load(tmp_path / f"rows-{rank}.pt", weights_only=True)
        assert seen["processes"] == 2
        assert seen["trained"] == [48, 32, 20]
        assert len(seen["validation"]) == 201
        assert torch.equal(seen["validated"], seen["validation"][rank::2])
