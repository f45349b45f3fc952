"""The nested network: which level sees what, what is run, who owns which parameter."""

from itertools import pairwise, product
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from nested_lightning.errors import ConfigurationError
from nested_lightning.models import ConvBottleneck, DenseBottleneck, NestedNetwork, UNetEncoder
from nested_lightning.models.layers import RobustBatchNorm
from nested_lightning.models.network import announced_channels, checked_features

SIZES = (2, 4, 10)


class Pyramid(nn.Module):
    """Gives maps of 3, 5 and 7 channels at resolutions 8, 4 and 2 (``n`` of them, from the shallow end)."""

    def __init__(self, n=3):
        super().__init__()
        self.out_channels = [3, 5, 7][:n]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise([1, *self.out_channels]))

    def forward(self, x):
        features = []
        for layer in self.layers:
            x = nn.functional.avg_pool2d(layer(x), 2)
            features.append(x)
        return features


class Recorder(nn.Module):
    """A bottleneck that remembers how it was built and what it saw."""

    def __init__(self, previous_channels, skip_channels, channels):
        super().__init__()
        self.built = (previous_channels, skip_channels, channels)
        self.calls = []

    def forward(self, previous, skip):
        self.calls.append((previous, skip))
        return torch.rand(len(skip), self.built[2], 2, 2)


def unet(n_levels=3, skip_connections=True, dropout=0.0):
    sizes = [2**level + 1 for level in range(n_levels)]
    encoder = UNetEncoder(1, (4, 6), dropout)
    return NestedNetwork(encoder, sizes, ConvBottleneck, 8, skip_connections=skip_connections)


def vectors(n_levels=3, skip_connections=True):
    sizes = [2**level + 1 for level in range(n_levels)]
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
    return NestedNetwork(backbone, sizes, skip_connections=skip_connections, feature_channels=12)


@pytest.fixture
def images():
    return torch.rand(5, 1, 8, 8)


@pytest.mark.parametrize("build", [unet, vectors])
@pytest.mark.parametrize("skip_connections", [True, False])
@pytest.mark.parametrize("n_levels", range(1, 9))
def test_any_number_of_levels(build, n_levels, skip_connections, images):
    network = build(n_levels, skip_connections)
    logits = network(images)
    assert [tuple(level.shape) for level in logits] == [(5, size + 1) for size in network.sizes]
    embeddings = network.embed(images)
    assert [tuple(level.shape) for level in embeddings] == [(5, width) for width in network.bottleneck_channels]
    torch.testing.assert_close(torch.stack([f.norm(dim=1) for f in embeddings]), torch.ones(n_levels, 5))


def test_logits_are_the_heads_of_the_embeddings_whatever_level_is_last(images):
    network = unet().eval()
    whole = network(images)
    for head, embedding, logits in zip(network.heads, network.embed(images), whole, strict=True):
        assert torch.equal(head.classify(embedding), logits)
    for up_to in range(3):
        for part, logits in zip(network(images, up_to=up_to), whole[: up_to + 1], strict=True):
            assert torch.equal(part, logits)


@pytest.mark.parametrize(
    ("n_features", "skip_connections", "seen"),
    [(3, True, [2, 1, 0, 0, 0]), (2, True, [1, 0, 0, 0, 0]), (1, True, [0, 0, 0, 0, 0]), (3, False, [2, 1, 0, 0, 0])],
)
def test_each_level_sees_the_map_before_it_and_the_next_shallower_feature(n_features, skip_connections, seen, images):
    widths = [9, 8, 7, 6, 5]
    network = NestedNetwork(Pyramid(n_features), [2] * 5, Recorder, widths, skip_connections=skip_connections)
    features, produced = network.features(images), []
    for bottleneck in network.bottlenecks:
        bottleneck.register_forward_hook(lambda _module, _inputs, output: produced.append(output))
    network(images)
    for level, bottleneck in enumerate(network.bottlenecks):
        ((previous, skip),) = bottleneck.calls
        assert (previous is None) == (level == 0)
        assert previous is (produced[level - 1] if level else None)
        feature = features[seen[level]]
        if not skip_connections and level:
            feature = feature[:, :0]
            assert not skip.requires_grad
        assert torch.equal(skip, feature)
        assert bottleneck.built == (widths[level - 1] if level else 0, feature.shape[1], widths[level])


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (15, 9), (1, 1), (5, 32)])
def test_maps_have_the_same_resolution_with_and_without_skip_connections(size):
    shapes = {}
    for skip_connections in (True, False):
        network = unet(4, skip_connections)
        shapes[skip_connections] = []
        for bottleneck in network.bottlenecks:
            bottleneck.register_forward_hook(
                lambda _module, _inputs, output, kept=shapes[skip_connections]: kept.append(output.shape)
            )
        network(torch.rand(2, 1, *size))
    assert shapes[True] == shapes[False]
    assert shapes[True][-1][2:] == size


def test_without_skip_connections_a_finer_level_depends_on_the_coarser_map_alone(images):
    for skip_connections in (True, False):
        network = unet(2, skip_connections).eval()
        constant = torch.rand(1, 8, 2, 2)
        network.bottlenecks[0].register_forward_hook(lambda *_args, value=constant: value.expand(5, -1, -1, -1))
        _, fine = network.embed(images)
        same = torch.allclose(fine, fine[:1].expand_as(fine), atol=1e-6)
        assert same == (not skip_connections)


@pytest.mark.parametrize("build", [unet, vectors])
@pytest.mark.parametrize("method", ["forward", "embed"])
@pytest.mark.parametrize("up_to", range(4))
def test_levels_beyond_up_to_are_not_run(build, method, up_to, images):
    network = build(4).train()
    runs = {id(module): 0 for module in network.modules()}

    def count(module, _inputs, _output):
        runs[id(module)] += 1

    for module in network.modules():
        module.register_forward_hook(count)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert len(getattr(network, method)(images, up_to=up_to)) == up_to + 1
    for level in range(4):
        own = [leaf for part in network.parts(level) for leaf in part.modules() if isinstance(leaf, RobustBatchNorm)]
        own += [network.bottlenecks[level]]
        assert all(runs[id(module)] == (level <= up_to) for module in own)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    trained = tuple(f"bottlenecks.{level}." for level in range(up_to + 1))
    assert all(name.startswith(("backbone.", *trained)) for name in changed)
    assert all(any(name.startswith(prefix) for name in changed) for prefix in trained)


@pytest.mark.parametrize("build", [unet, vectors])
def test_predictions_do_not_depend_on_the_batch(build, images):
    network = build()
    for _ in range(3):
        network(torch.rand(16, 1, 8, 8))
    network.eval()
    for one, together in zip(
        network.embed(images[:1]) + network(images[:1]), network.embed(images) + network(images), strict=True
    ):
        torch.testing.assert_close(one, together[:1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("build", [unet, vectors])
def test_a_batch_of_one_trains(build):
    network = build().train()
    logits = network(torch.rand(1, 1, 1, 1).expand(1, 1, 8, 8))
    sum(cross_entropy(level, torch.zeros(1, dtype=torch.long)) for level in logits).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("build", [unet, vectors])
@pytest.mark.parametrize("level", range(3))
def test_the_loss_of_a_level_reaches_no_finer_part(build, level, images):
    network = build()
    target = torch.zeros(5, dtype=torch.long)
    cross_entropy(network(images)[level], target).backward()
    for other in range(3):
        gradients = [p.grad for part in network.parts(other) for p in part.parameters()]
        if other > level:
            assert all(gradient is None for gradient in gradients)
        else:
            assert any(gradient is not None and gradient.any() for gradient in gradients)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.booleans(), st.sampled_from([unet, vectors]))
def test_parts_hold_every_parameter_and_buffer_exactly_once(n_levels, skip_connections, build):
    network = build(n_levels, skip_connections)
    parts = [part for level in range(n_levels) for part in network.parts(level)]
    for kind in ("parameters", "buffers"):
        held = sorted(id(tensor) for part in parts for tensor in getattr(part, kind)())
        assert held == sorted(id(tensor) for tensor in getattr(network, kind)())


def test_parts_of_a_level_are_its_own_and_levels_out_of_range_refused(images):
    network = unet()
    assert network.parts(0) == [network.backbone, network.bottlenecks[0], network.heads[0]]
    assert network.parts(2) == [network.bottlenecks[2], network.heads[2]]
    calls = (network.parts, lambda up_to: network(images, up_to), lambda up_to: network.embed(images, up_to))
    for level, call in product((-1, 3), calls):
        with pytest.raises(ConfigurationError, match=rf"no level {level}: the levels are 0 \(coarsest\) to 2"):
            call(level)


def test_channels_come_from_the_argument_before_the_backbone(images):
    backbone = nn.Conv2d(1, 6, 1)
    assert NestedNetwork(backbone, SIZES).feature_channels == (6,)
    assert NestedNetwork(backbone, SIZES, feature_channels=[9]).feature_channels == (9,)
    with pytest.raises(
        ConfigurationError, match=r"Conv2d .*1 feature\(s\) with \[9\] .* pass `feature_channels=\[6\]`"
    ):
        NestedNetwork(backbone, SIZES, feature_channels=[9])(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": []}, r"`sizes` .* got \[\]"),
        ({"sizes": [2, 0]}, r"`sizes` .* got \[2, 0\]"),
        ({"bottleneck_channels": [8, 8]}, r"there are 3 levels, got 2 numbers, \[8, 8\]"),
        ({"bottleneck_channels": 0}, r"`bottleneck_channels` .* got 0"),
        ({"bottleneck_channels": 2.5}, r"`bottleneck_channels` .* got 2\.5"),
        ({"feature_channels": "64"}, r"`feature_channels` .* got '64'"),
        ({"backbone": nn.Flatten()}, r"pass|Pass `feature_channels"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        NestedNetwork(**{"backbone": Pyramid(), "sizes": SIZES, **arguments})


def test_a_bottleneck_with_other_channels_than_promised(images):
    class Doubling(DenseBottleneck):
        def forward(self, previous, skip):
            return super().forward(previous, skip).repeat(1, 2)

    network = NestedNetwork(Pyramid(), SIZES, Doubling, 8)
    with pytest.raises(ConfigurationError, match=r"Doubling of level 0 was built for 8 channels, .*\[5, 16\]"):
        network(images)


def test_a_nested_network_learns_levels_that_follow_from_each_other():
    torch.manual_seed(0)
    fine = torch.arange(256) % 4
    x = nn.functional.one_hot(fine, 4).float() + 0.1 * torch.randn(256, 4)
    network = NestedNetwork(nn.Linear(4, 16), [2, 4], bottleneck_channels=8, feature_channels=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        coarse_logits, fine_logits = network(x)
        optimizer.zero_grad()
        (cross_entropy(coarse_logits, fine // 2) + cross_entropy(fine_logits, fine)).backward()
        optimizer.step()
    coarse_logits, fine_logits = network.eval()(x)
    assert (coarse_logits.argmax(dim=1) == fine // 2).float().mean() > 0.98
    assert (fine_logits.argmax(dim=1) == fine).float().mean() > 0.98


# ---- what backbones announce, and what happens when they give something else ----


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


@pytest.mark.parametrize("container", [list, tuple, lambda tensors: {"layer2": tensors[0], "layer1": tensors[1]}])
def test_tensors_and_collections_become_a_list(container):
    tensors = [torch.rand(2, 3, 4), torch.rand(2, 5)]
    assert checked_features(backbone(), container(tensors), (3, 5)) == tensors
    assert checked_features(backbone(), tensors[0], (3,)) == tensors[:1]


@pytest.mark.parametrize(
    ("output", "got"),
    [
        ({"out": None}, "dict"),
        ([torch.rand(2, 3), None], r"list\(Tensor of shape \[2, 3\], NoneType\)"),
        (torch.rand(4), r"Tensor of shape \[4\]"),
    ],
)
def test_other_outputs_are_named(output, got):
    with pytest.raises(ConfigurationError, match=f"Flatten must give .* got {got}"):
        checked_features(backbone(), output, (3,))


@pytest.mark.parametrize(
    ("expected", "shapes"), [((3,), [(2, 4)]), ((3, 4), [(2, 4)]), ((3,), [(2, 3), (2, 3)]), ((3, 4), [(2, 4), (2, 3)])]
)
def test_other_channels_than_expected_are_named(expected, shapes):
    with pytest.raises(ConfigurationError) as error:
        checked_features(backbone(), [torch.rand(shape) for shape in shapes], expected)
    got = [shape[1] for shape in shapes]
    assert f"expected to give {len(expected)} feature(s) with {list(expected)} channels" in str(error.value)
    assert f"gave {len(got)} with {got}" in str(error.value)
    assert f"pass `feature_channels={got}`" in str(error.value)
