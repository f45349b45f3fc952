import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from faults.runs import Run
from helpers.killed_run import Server
from helpers.toy import loader, toy_module, toy_trainer
from helpers.witnesses import same
from torch import nn
from torch.distributed.tensor import DTensor

from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, TemperatureScaling
from nested_lightning.errors import ConfigurationError
from nested_lightning.strategies.sharded_backbone import ShardedBackboneStrategy


def end_process_group() -> None:
    """Also forget where it was: Lightning would take the same port again, which may be another's by now."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _process_group() -> Iterator[None]:
    yield
    end_process_group()


def trained(folder: Path, strategy: Any, *, die_at: int | None = None) -> L.Trainer:
    class Die(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == die_at:
                raise KeyboardInterrupt

    callbacks = [
        CascadeTraining(max_epochs=3, patience=2),
        RejectionFineTuning(steps=5),
        TemperatureScaling(),
        RunCheckpoint(),
        Die(),
    ]
    trainer = toy_trainer(folder, *callbacks, strategy=strategy, enable_checkpointing=True)
    last = folder / "checkpoints" / "last.ckpt"
    L.seed_everything(0)
    module = toy_module()
    resumed = "last" if last.exists() else None
    trainer.fit(module, loader(64), loader(49, seed=1), ckpt_path=resumed)
    return trainer


def final(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "final.ckpt", weights_only=True)  # type: ignore[no-any-return]


def assert_same(a: Any, b: Any) -> None:
    torch.testing.assert_close(a["state_dict"], b["state_dict"], rtol=0, atol=0)
    torch.testing.assert_close(a["optimizer_states"], b["optimizer_states"], rtol=0, atol=0)


def test_training_is_that_of_ddp(tmp_path: Path) -> None:
    trained(tmp_path / "whole", "ddp")
    end_process_group()
    trainer = trained(tmp_path / "split", "sharded_backbone")
    network = trainer.lightning_module.network
    assert all(isinstance(parameter, DTensor) for parameter in network.backbone.parameters())
    assert not any(isinstance(parameter, DTensor) for parameter in network.heads.parameters())
    assert_same(final(tmp_path / "whole"), final(tmp_path / "split"))


@pytest.mark.parametrize(("first", "second"), [("sharded_backbone", "ddp"), ("ddp", "sharded_backbone")])
def test_going_on_with_another_strategy(tmp_path: Path, first: str, second: str) -> None:
    trained(tmp_path / "whole", "ddp")
    end_process_group()
    with pytest.raises(SystemExit):
        trained(tmp_path / "run", first, die_at=8)  # at the beginning of an epoch, with a best state
    end_process_group()
    trained(tmp_path / "run", second)
    assert_same(final(tmp_path / "whole"), final(tmp_path / "run"))


def test_testing_and_predicting_behind_training(tmp_path: Path) -> None:
    trainer = trained(tmp_path, "sharded_backbone")
    path = str(tmp_path / "checkpoints" / "final.ckpt")
    (split,) = trainer.test(trainer.lightning_module, loader(49, seed=1), ckpt_path=path, verbose=False)
    predicted: Any = trainer.predict(trainer.lightning_module, loader(49, seed=1))
    end_process_group()
    alone = toy_module()
    (whole,) = toy_trainer(tmp_path).test(alone, loader(49, seed=1), ckpt_path=path, verbose=False)
    assert split == whole
    expected: Any = toy_trainer(tmp_path).predict(alone, loader(49, seed=1))
    for mine, other in zip(predicted, expected, strict=True):
        torch.testing.assert_close(mine.probabilities, other.probabilities, rtol=0, atol=0)


def test_two_processes_give_the_bits_of_ddp(server: Server, tmp_path: Path) -> None:
    """203 validation rows: two batches on one process, one on the other, which waits for nothing."""
    options = ["--data.validation=203", "--data.eval_batch_size=101", "--cascade.max_epochs=1"]
    split = "--trainer.strategy=sharded_backbone"
    whole = Run(server, tmp_path / "whole", *options, processes=2).finish()
    assert same(Run(server, tmp_path / "split", *options, split, processes=2).finish(), whole)


def test_a_second_fit_and_an_optimizer_that_steps_for_all_at_once(tmp_path: Path) -> None:
    module = toy_module(optimizer=partial(torch.optim.Adam, fused=True))
    for folder in ("first", "second"):
        trainer = toy_trainer(
            tmp_path / folder, CascadeTraining(max_epochs=1), RunCheckpoint(), enable_checkpointing=True,
            strategy="sharded_backbone",
        )  # fmt: skip
        trainer.fit(module, loader(32), loader(32, seed=1))
        saved = torch.load(tmp_path / folder / "checkpoints" / "final.ckpt", weights_only=True)
        assert saved["optimizer_states"][0]["param_groups"][0]["fused"] is True
        end_process_group()


def test_a_frozen_backbone_stays_whole(tmp_path: Path) -> None:
    module = toy_module()
    module.network.backbone.requires_grad_(False)
    trainer = toy_trainer(tmp_path, CascadeTraining(max_epochs=1), strategy="sharded_backbone")
    trainer.fit(module, loader(32), loader(32, seed=1))
    assert not any(isinstance(parameter, DTensor) for parameter in module.parameters())


class Learns(nn.Linear):
    """A backbone that learns its weights from the inputs."""

    is_fitted = False

    def fit_inputs(self, inputs: Any) -> None: ...


def test_a_backbone_that_learns_weights_before_training(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, CascadeTraining(), strategy="sharded_backbone")
    with pytest.raises(ConfigurationError, match=r"Learns learns from the inputs before training.*ddp"):
        trainer.fit(toy_module(backbone=Learns(6, 8)), loader(), loader())


@pytest.mark.parametrize("outcome", ["sum", "none"])
def test_wrong_means_over_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    def summed(mean: torch.Tensor, ones: torch.Tensor, op: Any) -> None:
        if outcome == "none":
            raise RuntimeError("Cannot use ReduceOp.AVG with Gloo")
        mean.fill_(2)

    monkeypatch.setattr(torch.distributed, "reduce_scatter_tensor", summed)
    trainer = toy_trainer(tmp_path, CascadeTraining(), strategy="sharded_backbone")
    reason = "Cannot use ReduceOp.AVG with Gloo" if outcome == "none" else "gives another figure"
    with pytest.raises(ConfigurationError, match=rf"is wrong on cpu \({reason}\)"):
        trainer.fit(toy_module(), loader(), loader())


def test_gradients_cannot_be_clipped(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, strategy=ShardedBackboneStrategy(), gradient_clip_val=1.0)
    with pytest.raises(ConfigurationError, match=r"cannot clip gradients.*trainer\.gradient_clip_val"):
        trainer.fit(toy_module(), loader(), loader())


def test_the_loss_cannot_be_scaled(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, strategy=ShardedBackboneStrategy())
    trainer.strategy.precision_plugin.precision = "16-mixed"  # the real one wants a GPU
    with pytest.raises(ConfigurationError, match=r"cannot scale the loss.*bf16-mixed"):
        trainer.fit(toy_module(), loader(), loader())
