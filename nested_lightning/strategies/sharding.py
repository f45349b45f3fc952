"""Modules whose weights are split over the processes of a run (FSDP2), and their weights as one."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Split the weights of a module over the processes of ``mesh``, block by block.

    Blocks are the elements of its outermost lists and sequences, such as the layers of a transformer.
    """
    for block in _blocks(module):
        if next(block.parameters(), None) is not None:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    is_list = isinstance(module, (nn.ModuleList, nn.Sequential))
    for child in module.children():
        if is_list and not isinstance(child, (nn.ModuleList, nn.ModuleDict)):  # which cannot be called
            yield child
        else:
            yield from _blocks(child)


def whole(tree: Any) -> Any:
    """Return ``tree`` with every sharded tensor in it whole, on the CPU, for the first process to write it to a file.

    Every process has to call it. In the others these tensors are empty: many processes share the memory of a machine.
    """
    return tree_map(lambda x: _whole(x) if isinstance(x, DTensor) else x, tree)


def _whole(x: DTensor) -> Tensor:
    full: Tensor = x.full_tensor()
    return full.cpu() if torch.distributed.get_rank() == 0 else torch.empty(0, dtype=x.dtype)


def split_like(value: Any, parameter: Tensor) -> Any:
    """Return a whole tensor of a parameter (its value, or the optimizer's state of it) sharded as the parameter is."""
    if (
        not isinstance(parameter, DTensor)
        or isinstance(value, DTensor)
        or getattr(value, "shape", None) != parameter.shape
    ):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def load_weights(module: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Load a module's weights, whole or sharded as they are."""
    now = module.state_dict()
    split = {name: split_like(x, now.get(name, x)) for name, x in state.items()}
    module.load_state_dict(with_metadata(split, state), strict=strict)


def with_metadata(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a changed state dict with what torch keeps beside the weights: the versions of the modules."""
    state: Any = OrderedDict(new)
    if hasattr(old, "_metadata"):
        state._metadata = old._metadata
    return state  # type: ignore[no-any-return]


@contextmanager
def whole_weights(module: nn.Module) -> Iterator[None]:
    """Have whole weights in the module: processes may then run it different numbers of times, and without gradients."""
    gather(module)
    try:
        yield
    finally:
        scatter(module)


def gather(module: nn.Module) -> None:
    """Have whole weights in the module from now on."""
    with torch.inference_mode(mode=False), torch.no_grad():
        for part in _sharded(module):
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()


def scatter(module: nn.Module) -> None:
    """Have each process keep its part of the weights again, as :func:`shard` has left it."""
    for part in _sharded(module):
        part.reshard()
        part.set_reshard_after_forward(True, recurse=False)


def _sharded(module: nn.Module) -> list[FSDPModule]:
    return [part for part in module.modules() if isinstance(part, FSDPModule)]
