"""A Lightning strategy for backbones that are large."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nested_lightning.errors import ConfigurationError
from nested_lightning.module import as_nested
from nested_lightning.sharding import gather, load_weights, scatter, shard, split_like, whole


class ShardedBackboneStrategy(DDPStrategy):
    """``ddp`` with the backbone split over the processes (FSDP2); on the command line ``sharded_backbone``.

    In training each process holds its part of the backbone's weights, gradients and optimizer state, and has whole
    weights of one block at a time, where they are needed: an element of the backbone's outermost lists
    (``ModuleList``, ``Sequential``), such as a layer of a transformer. For validation and calibration the whole
    backbone is gathered. Bottlenecks and heads are in every process, as with ``ddp``.

    Checkpoints hold whole weights: any strategy and any number of processes load them and go on from them.

    Args:
        arguments: of ``DDPStrategy``.

    Raises:
        ConfigurationError: the trainer is to clip gradients or to scale the loss, for which torch would have to take
            whole and split gradients together.
    """

    def setup(self, trainer: L.Trainer) -> None:
        if trainer.gradient_clip_val is not None:
            raise ConfigurationError(
                "the strategy sharded_backbone cannot clip gradients: leave out trainer.gradient_clip_val, or set "
                "trainer.strategy to ddp"
            )
        if trainer.precision == "16-mixed":
            raise ConfigurationError(
                "the strategy sharded_backbone cannot scale the loss: set trainer.precision to bf16-mixed, or "
                "trainer.strategy to ddp"
            )
        super().setup(trainer)

    def model_to_device(self) -> None:
        module = as_nested(self._module)
        if module.trainer.state.fn == TrainerFn.FITTING:
            shard(module.network.backbone, init_device_mesh(self.root_device.type, (self.world_size,)))
        super().model_to_device()

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
                group.update({"foreach": False} if "foreach" in group else {})

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return whole(super().lightning_module_state_dict())  # type: ignore[no-any-return]

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        load_weights(self._module, checkpoint["state_dict"], strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state = whole(super().optimizer_state(optimizer))
        own = {key: optimizer.defaults[key] for key in ("foreach",) if key in optimizer.defaults}
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


StrategyRegistry.register("sharded_backbone", ShardedBackboneStrategy, description="DDP with a split backbone")
