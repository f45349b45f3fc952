"""Batch normalisation over the samples of all processes on the CPU; torch's SyncBatchNorm needs a GPU."""

from types import MethodType

import torch
from lightning.pytorch.plugins import LayerSync
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class ProcessBatchNorm(LayerSync):
    """Replaces ``trainer.sync_batchnorm``; every process must have equally many samples."""

    def apply(self, model: nn.Module) -> nn.Module:
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                layer.forward = MethodType(_forward, layer)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for layer in model.modules():
            vars(layer).pop("forward", None)
        return model


def _forward(layer: _BatchNorm, x: Tensor) -> Tensor:
    if not layer.training:
        return type(layer).forward(layer, x)
    dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    world = torch.distributed.get_world_size()
    mean = all_reduce(x.mean(dims)) / world
    centred = x - mean.view(shape)
    variance = all_reduce(centred.square().mean(dims)) / world
    n = world * x.numel() / x.shape[1]
    with torch.no_grad():
        layer.num_batches_tracked += 1
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * n / (n - 1), layer.momentum)
    return centred / (variance + layer.eps).sqrt().view(shape) * layer.weight.view(shape) + layer.bias.view(shape)
