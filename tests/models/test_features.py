"""What backbones announce, and what happens when they give something else."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nested_lightning.errors import ConfigurationError
from nested_lightning.models.network import announced_channels, checked_features


def backbone(**attributes):
    module = nn.Flatten()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"out_channels": 7}, 7),
        ({"out_channels": (4, 8)}, (4, 8)),
        ({"feature_info": SimpleNamespace(channels=lambda: [16, 32]), "num_features": 99}, [16, 32]),
        ({"feature_info": [{"num_chs": 16}], "num_features": 512}, 512),
        ({"out_channels": 7, "num_features": 512}, 7),
    ],
)
def test_announced_channels(attributes, expected):
    assert announced_channels(backbone(**attributes)) == expected


def test_a_silent_backbone_is_told_what_to_do():
    with pytest.raises(ConfigurationError, match=r"backbone Flatten .*`feature_channels=\[\.\.\.\]`.*`out_channels`"):
        announced_channels(nn.Flatten())


@pytest.mark.parametrize("container", [list, tuple])
def test_tensors_and_sequences_become_a_list(container):
    tensors = [torch.rand(2, 3, 4), torch.rand(2, 5)]
    assert checked_features(backbone(), container(tensors), (3, 5)) == tensors
    assert checked_features(backbone(), tensors[0], (3,)) == tensors[:1]


@pytest.mark.parametrize(
    ("output", "got"),
    [
        ({"out": torch.rand(2, 3)}, "dict"),
        ([torch.rand(2, 3), None], r"list\(Tensor of shape \[2, 3\], NoneType\)"),
        (torch.rand(4), r"Tensor of shape \[4\]"),
    ],
)
def test_other_outputs_are_named(output, got):
    with pytest.raises(ConfigurationError, match=f"Flatten must give .* got {got}"):
        checked_features(backbone(), output, (3,))


@pytest.mark.parametrize(
    ("expected", "shapes"),
    [((3,), [(2, 4)]), ((3, 4), [(2, 4)]), ((3,), [(2, 3), (2, 3)]), ((3, 4), [(2, 4), (2, 3)])],
)
def test_wrong_channels_name_what_was_expected_and_what_came(expected, shapes):
    with pytest.raises(ConfigurationError) as error:
        checked_features(backbone(), [torch.rand(shape) for shape in shapes], expected)
    got = [shape[1] for shape in shapes]
    assert f"expected to give {len(expected)} feature(s) with {list(expected)} channels" in str(error.value)
    assert f"gave {len(got)} with {got}" in str(error.value)
    assert f"pass `feature_channels={got}`" in str(error.value)
