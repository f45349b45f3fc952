"""Weights split in a group of one process, whose part is the whole; of two processes see `test_strategy.py`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from nested_lightning.strategies.sharding import load_weights, shard, split_like, whole, whole_weights


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


class Nested(nn.Module):
    """Has blocks at several depths, one of which lies in a list in a list, and weights outside of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.body = nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleList([nn.Linear(4, 4)]), nn.Linear(4, 4)])})
        self.end = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = self.body["layers"]
        return self.end(layers[1](layers[0][0](self.stem(x))))  # type: ignore[index, no-any-return]


def test_blocks_are_the_elements_of_the_outermost_lists(mesh: DeviceMesh) -> None:
    module = Nested()
    expected = module(torch.ones(2, 4))
    shard(module, mesh)
    split = {name for name, part in module.named_modules() if isinstance(part, FSDPModule)}
    assert split == {"", "body.layers.0.0", "body.layers.1", "end.0"}
    assert all(isinstance(parameter, DTensor) for parameter in module.parameters())
    assert torch.equal(module(torch.ones(2, 4)), expected)


def test_whole_weights_and_back(mesh: DeviceMesh) -> None:
    module = Nested()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    shard(module, mesh)
    for again in range(2):
        with whole_weights(module):
            assert not any(isinstance(parameter, DTensor) for parameter in module.parameters())
            with torch.no_grad():
                module(torch.ones(2, 4))
            assert not any(isinstance(parameter, DTensor) for parameter in module.parameters()), again
        assert all(isinstance(parameter, DTensor) for parameter in module.parameters())
    after = whole({"weights": [module.state_dict()], "others": ("text", 1)})
    assert after["others"] == ("text", 1)
    assert all(type(value) is torch.Tensor for value in after["weights"][0].values())
    assert all(torch.equal(value, before[name]) for name, value in after["weights"][0].items())


def test_a_module_that_is_not_split_stays_as_it_is() -> None:
    module = Nested()
    with whole_weights(module):
        assert type(module) is Nested
    load_weights(module, {"stem.bias": torch.ones(4)}, strict=False)
    assert torch.equal(module.stem.bias, torch.ones(4))
    assert whole(module.state_dict()).keys() == module.state_dict().keys()


def test_weights_are_loaded_whole_or_split(mesh: DeviceMesh) -> None:
    module, other = Nested(), Nested()
    weights = {name: value.clone() for name, value in other.state_dict().items()}
    shard(module, mesh)
    load_weights(module, weights)
    assert all(torch.equal(value, weights[name]) for name, value in whole(module.state_dict()).items())
    split = {name: value.detach().clone() for name, value in module.state_dict().items()}
    load_weights(module, {name: torch.zeros_like(value) for name, value in weights.items()})
    assert not whole(module.state_dict())["stem.weight"].any()
    load_weights(module, split)
    assert torch.equal(whole(module.state_dict())["stem.weight"], weights["stem.weight"])
    with pytest.raises(RuntimeError, match=r"Unexpected key.*other"):
        load_weights(module, {**weights, "other": torch.ones(2)})


def test_what_has_another_shape_stays_whole(mesh: DeviceMesh) -> None:
    module = Nested()
    shard(module, mesh)
    steps = torch.tensor(3.0)
    assert split_like(steps, module.stem.weight) is steps
    assert split_like(7, module.stem.weight) == 7
    assert isinstance(split_like(torch.ones(4, 4), module.stem.weight), DTensor)
