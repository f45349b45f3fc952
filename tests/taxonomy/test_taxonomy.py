"""The tree, its indices and its tensors, against loops over the paths."""

import copy
import io
import pickle
import time
from dataclasses import FrozenInstanceError
from unittest.mock import patch

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Path, Taxonomy

AWKWARD = [
    *("no", "null", "~", "1", "1.0", "0x1F", "1e3", "2024-01-01", "true", "''", " ", " a", "a ", "a, b", "a/b", "a: b"),
    *("#x", "x #y", "- x", "[a]", "{a}", "'", '"', "<<", "!t", "&a", "*a", "?", "%", "@", "`", "=", "|", "\\", ","),
    *("Größe", "日本", "😀", "\n", "\t", "\r\n", "\x00", "\x85", "\u2028", "\ufeff", "---", "..."),
]
NAMES = st.one_of(st.sampled_from(AWKWARD), st.text(min_size=1, max_size=5))


def carried(path: Path, n_levels: int) -> Path:
    return path + path[-1:] * (n_levels - len(path))


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    """Any tree of 2 to 8 levels: ragged, names repeated under several parents, leaves in any order."""
    n_levels = draw(st.integers(2, 8))
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    full = [names[i % 2] for i in range(n_levels)]  # one path in which no level repeats the one above
    paths: list[Path] = [tuple(full)]
    for other in draw(st.lists(st.lists(st.sampled_from(names), min_size=1, max_size=n_levels), max_size=12)):
        path = tuple(other)
        shortest = [(known, min(len(known), len(path))) for known in paths]
        is_same = any(carried(known, n_levels) == carried(path, n_levels) for known in paths)
        if not is_same and all(known[:n] != path[:n] for known, n in shortest):
            paths.append(path)
    levels = draw(st.lists(NAMES, min_size=n_levels, max_size=n_levels, unique=True))
    return Taxonomy(levels, draw(st.permutations(paths)))


@pytest.fixture
def animals() -> Taxonomy:
    return Taxonomy.from_paths(["animal/cat", "stone", "animal/dog", "plant/cat"], ["kind", "species"])


@settings(deadline=None)  # the first call of a torch function can take long
@given(taxonomies())
def test_tensors_agree_with_the_paths(taxonomy: Taxonomy) -> None:
    for level in range(taxonomy.n_levels):
        nodes = taxonomy.nodes(level)
        assert nodes == tuple(dict.fromkeys(leaf[: level + 1] for leaf in taxonomy.leaves))
        assert [taxonomy.index(path) for path in nodes] == list(range(taxonomy.sizes[level]))
        for at in range(level + 1):
            expected = [taxonomy.nodes(at).index(path[: at + 1]) for path in nodes]
            assert taxonomy.ancestors(level, at).tolist() == expected
        if level:
            assert torch.equal(taxonomy.parents(level), taxonomy.ancestors(level, level - 1))


@settings(deadline=None)
@given(taxonomies(), st.data())
def test_lift_agrees_with_a_loop(taxonomy: Taxonomy, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, taxonomy.n_levels - 1))
    labels = data.draw(st.lists(st.integers(-1, taxonomy.sizes[level] - 1)))
    expected = []
    for label in labels:
        row = [-1] * taxonomy.n_levels
        if label >= 0:
            path = taxonomy.nodes(level)[label]
            below = [leaf for leaf in taxonomy.leaves if leaf[: level + 1] == path]
            # A leaf of this level or above is the only leaf below, under the same name.
            known = below[0] if below == [carried(path, taxonomy.n_levels)] else path
            for at in range(len(known)):
                row[at] = taxonomy.nodes(at).index(known[: at + 1])
            assert taxonomy.target(path) == row
        expected.append(row)
    targets = taxonomy.lift(torch.tensor(labels, dtype=torch.int32), level)
    assert targets.dtype == torch.long
    assert targets.shape == (len(labels), taxonomy.n_levels)
    assert targets.tolist() == expected


@settings(deadline=None)
@given(taxonomies(), st.data())
def test_sum_up_agrees_with_a_loop(taxonomy: Taxonomy, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, taxonomy.n_levels - 1))
    to = data.draw(st.integers(0, level))
    probabilities = torch.rand(3, taxonomy.sizes[level], dtype=torch.float64).requires_grad_()
    expected = torch.zeros(3, taxonomy.sizes[to], dtype=torch.float64)
    for column, path in enumerate(taxonomy.nodes(level)):
        expected[:, taxonomy.nodes(to).index(path[: to + 1])] += probabilities[:, column].detach()
    sums = taxonomy.sum_up(probabilities, level, to)
    torch.testing.assert_close(sums.detach(), expected)
    (gradient,) = torch.autograd.grad(sums.sum(), probabilities)
    assert torch.equal(gradient, torch.ones_like(probabilities))


def test_levels_count_from_the_end_too(animals: Taxonomy) -> None:
    probabilities = torch.rand(2, 4)
    assert torch.equal(animals.sum_up(probabilities, -1, -2), animals.sum_up(probabilities, 1, 0))
    assert torch.equal(animals.lift(torch.tensor([2]), -1), torch.tensor([[0, 2]]))


def test_a_leaf_above_the_last_level_is_carried_down() -> None:
    taxonomy = Taxonomy(["a", "b", "c"], [["x"], ["y", "z"], ["y", "v", "w"]])
    written_out = Taxonomy(["a", "b", "c"], [["x", "x"], ["y", "z", "z"], ["y", "v", "w"]])
    assert taxonomy == written_out
    assert hash(taxonomy) == hash(written_out)
    assert taxonomy.names(2) == ("x", "z", "w")
    assert taxonomy.target(["x"]) == taxonomy.target(["x", "x", "x"]) == [0, 0, 0]
    assert taxonomy.target(["y"]) == [1, -1, -1]
    assert taxonomy.find("x") == ("x",)
    assert taxonomy.find("x", level=2) == ("x", "x", "x")
    assert taxonomy.lift(torch.tensor([0, 1, 2, -1]), 1).tolist() == [[0, 0, 0], [1, 1, 1], [1, 2, -1], [-1] * 3]
    assert str(taxonomy).splitlines()[1:] == ["├── x", "└── y", "    ├── z", "    └── v", "        └── w"]


@settings(deadline=None)
@given(taxonomies())
def test_other_forms_give_the_taxonomy_back(tmp_path_factory: pytest.TempPathFactory, taxonomy: Taxonomy) -> None:
    file = tmp_path_factory.getbasetemp() / "taxonomy.yaml"
    taxonomy.to_yaml(file)
    buffer = io.BytesIO()
    torch.save(taxonomy.to_dict(), buffer)
    buffer.seek(0)
    taxonomy.parents(1)
    others = [
        Taxonomy.from_yaml(file),
        Taxonomy.from_dict(torch.load(buffer, weights_only=True)),
        Taxonomy(taxonomy.levels, taxonomy.leaves),
        pickle.loads(pickle.dumps(taxonomy)),
        copy.deepcopy(taxonomy),
    ]
    with patch.object(yaml, "CBaseLoader", yaml.BaseLoader):
        others.append(Taxonomy.from_yaml(file))
    for other in others:
        assert other == taxonomy
        assert hash(other) == hash(taxonomy)
        assert all(other.nodes(level) == taxonomy.nodes(level) for level in range(taxonomy.n_levels))
        assert other.to_dict() == taxonomy.to_dict()


@settings(deadline=None)
@given(taxonomies())
def test_drawing_has_one_line_per_class_of_its_own(taxonomy: Taxonomy) -> None:
    names = {path[:n] for path in taxonomy.short_leaves for n in range(1, len(path) + 1)}
    assert taxonomy.show().count("── ") == len(names) + sum(path[-1].count("── ") for path in names)
    assert repr(taxonomy).startswith("Taxonomy(")


def test_equality_includes_names_and_order(animals: Taxonomy) -> None:
    reordered = Taxonomy(animals.levels, animals.leaves[::-1])
    assert animals != reordered
    assert animals != Taxonomy(["other", "names"], animals.leaves)
    assert len({animals, reordered, Taxonomy(animals.levels, animals.leaves)}) == 2


def test_callers_cannot_change_it(animals: Taxonomy) -> None:
    levels, leaves = ["a", "b"], [["x", "y"], ["z", "w"]]
    taxonomy = Taxonomy(levels, leaves)
    levels[0] = leaves[0][1] = "changed"
    assert taxonomy == Taxonomy(["a", "b"], [["x", "y"], ["z", "w"]])
    with pytest.raises(FrozenInstanceError):
        animals.levels = ("a", "b")  # type: ignore[misc]
    animals.parents(1).fill_(9)
    animals.ancestors(1, 1).fill_(9)
    animals.lift(torch.tensor([0]), 1).fill_(9)
    animals.target(["stone"]).append(9)
    animals.to_dict()["leaves"].clear()
    assert animals.parents(1).tolist() == [0, 1, 0, 2]
    assert animals.lift(torch.tensor([0]), 1).tolist() == [[0, 0]]
    assert animals.sum_up(torch.ones(4), 1, 0).tolist() == [2, 1, 1]


def test_tables_made_in_inference_mode_serve_in_training(animals: Taxonomy) -> None:
    with torch.inference_mode():
        animals.sum_up(torch.rand(2, 4), 1, 0)
        animals.lift(torch.tensor([1]), 1)
    probabilities = torch.rand(2, 4, requires_grad=True)
    animals.sum_up(probabilities, 1, 0)[:, 0].sum().backward()
    assert probabilities.grad is not None
    assert probabilities.grad.tolist() == [[1, 0, 1, 0]] * 2


class SumUp(torch.nn.Module):
    def __init__(self, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.taxonomy = taxonomy

    def forward(self, probabilities: Tensor) -> Tensor:
        return self.taxonomy.sum_up(probabilities, -1, 0)


@pytest.mark.parametrize("trace", ["export", "fake mode", "make_fx"])
def test_what_is_made_while_tracing_is_not_kept(trace: str) -> None:
    taxonomy = Taxonomy(["kind", "species"], [["animal", "cat"], ["animal", "dog"], ["stone"]])
    model, x = SumUp(taxonomy), torch.tensor([[0.25, 0.5, 0.25]])
    if trace == "fake mode":
        with FakeTensorMode() as mode:
            model(mode.from_tensor(x))
    elif trace == "make_fx":
        make_fx(model, tracing_mode="fake")(x)
    else:
        exported = torch.export.export(model, (x,), strict=False)
        assert exported.module()(x).tolist() == [[0.75, 0.25]]
    assert model(x).tolist() == [[0.75, 0.25]]
    assert all(type(table) is Tensor for table in taxonomy._tables.values())


def test_index_tensors_lie_where_asked(animals: Taxonomy) -> None:
    assert animals.parents(1, "meta").device.type == "meta"
    with torch.device("meta"):  # a default device must not leak into the tables
        assert animals.ancestors(1, 0).device.type == "cpu"


def test_ten_thousand_classes_are_fast() -> None:
    leaves = [(f"a{i // 1000}", f"b{i // 10}", f"c{i}") for i in range(9_000)]
    start = time.process_time()
    taxonomy = Taxonomy(["a", "b", "c"], leaves)
    taxonomy.find("c17")
    taxonomy.lift(torch.arange(9_000), 2)
    assert time.process_time() - start < 1
    assert sum(taxonomy.sizes) == 9_909


def test_paths_with_another_separator() -> None:
    taxonomy = Taxonomy.from_paths(["Apple___scab", "Apple___healthy", "Grape___a/b"], separator="___")
    assert taxonomy.levels == ("l1", "l2")
    assert taxonomy.leaves == (("Apple", "scab"), ("Apple", "healthy"), ("Grape", "a/b"))


def test_levels_and_tensors_that_do_not_fit(animals: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match=r"unknown level 2: expected 0 to 1 \(kind, species\)"):
        animals.nodes(2)
    with pytest.raises(TaxonomyError, match=r"coarsest level 'kind' have no parents"):
        animals.parents(0)
    with pytest.raises(TaxonomyError, match=r"level 'species' is finer than level 'kind'"):
        animals.ancestors(0, 1)
    with pytest.raises(TaxonomyError, match=r"class index 4 does not exist at level 'species': expected 0 to 3"):
        animals.lift(torch.tensor([0, 4]), 1)
    with pytest.raises(TaxonomyError, match=r"class index -2 does not exist"):
        animals.lift(torch.tensor([-2]), 0)
    for dtype in (torch.float32, torch.bool):
        with pytest.raises(TaxonomyError, match=rf"integers\), got a tensor of {dtype}"):
            animals.lift(torch.zeros(2, dtype=dtype), 0)
    with pytest.raises(TaxonomyError, match=r"one column per class of level 'species' \(4\).*\(2, 3\)"):
        animals.sum_up(torch.rand(2, 3), 1, 0)


def test_invalid_forms() -> None:
    with pytest.raises(TaxonomyError, match=r"the keys 'levels' and 'leaves', got \{'levels': 3\}"):
        Taxonomy.from_dict({"levels": 3})
    with pytest.raises(TaxonomyError, match="list of paths, got the text 'a/b'"):
        Taxonomy.from_paths("a/b")
    with pytest.raises(TaxonomyError, match=r"'a//b' has an empty name|\('a', '', 'b'\) has an empty name"):
        Taxonomy.from_paths(["a//b"])
