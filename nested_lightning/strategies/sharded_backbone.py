"""A Lightning strategy for backbones that are large."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nested_lightning.errors import ConfigurationError
from nested_lightning.module import as_nested
from nested_lightning.strategies.sharding import gather, load_weights, scatter, shard, split_like, whole, with_metadata

_AT_ONCE = ("foreach", "fused")
"""Options of optimizers."""


class ShardedBackboneStrategy(DDPStrategy):
    """``ddp`` with the backbone split over the processes (FSDP2); on the command line ``sharded_backbone``.

    In training each process holds its part of the backbone's weights, gradients and optimizer state. Whole weights are
    gathered block by block, where they are needed: a block is an element of the backbone's outermost lists
    (``ModuleList``, ``Sequential``), such as a layer of a transformer; what lies outside of them is whole for the time
    of a step. For validation and calibration the whole backbone is gathered. Bottlenecks and heads are in every
    process, as with ``ddp``, and so is a backbone of which nothing trains.

    Checkpoints hold whole weights: any strategy and any number of processes load them and go on from them. The module
    itself stays split after ``fit``: go on from ``final.ckpt``.

    Arguments are those of ``DDPStrategy``. Its hooks and model averaging are for whole modules only.

    Raises:
        ConfigurationError: the trainer is to clip gradients or to scale the loss, for which torch would have to take
            whole and split gradients together; the backbone learns weights by ``fit_inputs``; torch's means over
            processes are wrong on this device.
    """

    def setup(self, trainer: L.Trainer) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._refuse(trainer)
        super().setup(trainer)

    def _refuse(self, trainer: L.Trainer) -> None:
        if trainer.gradient_clip_val:
            raise ConfigurationError(
                "the strategy sharded_backbone cannot clip gradients: leave out trainer.gradient_clip_val, or set "
                "trainer.strategy to ddp"
            )
        if trainer.precision == "16-mixed":
            raise ConfigurationError(
                "the strategy sharded_backbone cannot scale the loss: set trainer.precision to bf16-mixed, or "
                "trainer.strategy to ddp"
            )
        if hasattr(self._backbone, "fit_inputs") and _trains(self._backbone):
            raise ConfigurationError(
                f"{type(self._backbone).__name__} learns from the inputs before training, when the strategy "
                "sharded_backbone has split its weights: set trainer.strategy to ddp"
            )

    def model_to_device(self) -> None:
        super().model_to_device()
        if self._module.trainer.state.fn != TrainerFn.FITTING or not _trains(self._backbone):
            return
        if not isinstance(self._backbone, FSDPModule):  # it is one since the fit before
            _refuse_wrong_means(self.root_device, self.world_size)
            for parameter in self._backbone.parameters():  # of all others DDP takes those of the first process
                torch.distributed.broadcast(parameter.data, 0)
            shard(self._backbone, init_device_mesh(self.root_device.type, (self.world_size,)))

    @property
    def _backbone(self) -> nn.Module:
        return as_nested(self._module).network.backbone

    @property
    def _module(self) -> L.LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    def configure_ddp(self) -> None:
        split = [name for name, parameter in self._module.named_parameters() if isinstance(parameter, DTensor)]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self._module, split)
        super().configure_ddp()

    def setup_optimizers(self, trainer: L.Trainer) -> None:
        super().setup_optimizers(trainer)
        self._step_one_by_one()

    def _step_one_by_one(self) -> None:
        # A step for many parameters at once does not take whole and split ones together.
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group.update({key: False for key in _AT_ONCE if key in group})

    def lightning_module_state_dict(self) -> dict[str, Any]:
        state = super().lightning_module_state_dict()
        return with_metadata(whole(state), state)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        load_weights(self._module, checkpoint["state_dict"], strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state = whole(super().optimizer_state(optimizer))
        own = {key: optimizer.defaults[key] for key in _AT_ONCE if key in optimizer.defaults}
        return {**state, "param_groups": [{**group, **own} for group in state["param_groups"]]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            split = {
                i: {key: split_like(value, parameters[i]) for key, value in state.items()}
                for i, state in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": split})
        self._step_one_by_one()

    def on_validation_start(self) -> None:
        gather(self._module)

    def on_validation_end(self) -> None:
        scatter(self._module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _refuse_wrong_means(device: torch.device, world_size: int) -> None:
    """Gradients are means over processes; on the CPU some versions of torch have none, or give the sum."""
    ones = torch.ones(world_size, device=device)
    mean = ones.new_empty(1)
    reason = "gives another figure"
    try:
        torch.distributed.reduce_scatter_tensor(mean, ones, op=torch.distributed.ReduceOp.AVG)
    except RuntimeError as error:
        reason = str(error)
    if mean != 1:
        raise ConfigurationError(
            f"the mean over processes of torch {torch.__version__} is wrong on {device.type} ({reason}), and the "
            "strategy sharded_backbone needs it: update torch, train on GPUs, or set trainer.strategy to ddp"
        )


StrategyRegistry.register("sharded_backbone", ShardedBackboneStrategy, description="DDP with a split backbone")
