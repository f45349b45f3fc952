"""Taxonomies from any input equal those of a slow loop, or raise a TaxonomyError."""

import copy
from itertools import pairwise
from pathlib import Path as File
from typing import Any

import pytest
import torch
import yaml
from faults.bulk.outcomes import attempt, bulk, is_rejected
from faults.bulk.trees import anything, few_names, is_tree, large_trees, mostly, names, numbered, real_depth, trees
from hypothesis import strategies as st

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Taxonomy, nesting_report


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    return tmp_path_factory.mktemp("taxonomies") / "tree.yaml"


def check(taxonomy: Taxonomy, levels: list[str], leaves: list[Any]) -> None:
    """Compare a taxonomy with a loop over the leaves."""
    classes = numbered(leaves, len(levels))
    assert taxonomy.levels == tuple(levels)
    assert taxonomy.sizes == tuple(map(len, classes))
    for level, paths in enumerate(classes):
        assert list(taxonomy.nodes(level)) == paths
        if level:
            above = [classes[level - 1].index(path[:-1]) for path in paths[:50]]
            assert taxonomy.parents(level)[:50].tolist() == above
    for leaf in taxonomy.leaves[:50]:
        depth = real_depth(leaf, leaves, len(levels)) if len(leaves) < 100 else None
        assert taxonomy.target(leaf) == [classes[level].index(leaf[: level + 1]) for level in range(len(levels))]
        assert depth is None or taxonomy.short_leaves[taxonomy.index(leaf)] == leaf[:depth]


@bulk(
    1200,
    levels=st.lists(mostly(names, anything), max_size=4),
    leaves=st.lists(mostly(st.lists(mostly(few_names | names, anything), max_size=4), anything), max_size=12),
)
def test_any_lists(levels: Any, leaves: Any) -> bool:
    made = attempt(Taxonomy, levels, leaves)
    assert attempt(Taxonomy.from_dict, {"levels": levels, "leaves": leaves}) == made or is_rejected(made)
    if is_rejected(made):
        assert isinstance(made, TaxonomyError)
        assert not is_tree(levels, leaves)
        return False
    assert is_tree(levels, leaves)
    check(made, levels, leaves)
    return True


@bulk(800, tree=trees())
def test_there_and_back(file: File, tree: tuple[list[str], list[Any]]) -> bool:
    levels, leaves = tree
    taxonomy = Taxonomy(levels, leaves)
    check(taxonomy, levels, leaves)
    assert Taxonomy.from_dict(taxonomy.to_dict()) == taxonomy == copy.deepcopy(taxonomy)
    assert len(taxonomy.show().split("\n")) > taxonomy.n_levels - 1
    taxonomy.to_yaml(file)
    assert Taxonomy.from_yaml(file) == taxonomy
    return True


@bulk(60, tree=large_trees())
def test_large(file: File, tree: tuple[list[str], list[Any]]) -> bool:
    levels, leaves = tree
    taxonomy = attempt(Taxonomy, levels, leaves)
    if is_rejected(taxonomy):
        return False
    check(taxonomy, levels, leaves)
    taxonomy.to_yaml(file)
    assert Taxonomy.from_yaml(file) == taxonomy
    assert is_rejected(attempt(taxonomy.find, "no such"))
    last = taxonomy.n_levels - 1
    sums = taxonomy.sum_up(torch.eye(taxonomy.sizes[last])[:3], last, 0)
    assert sums.argmax(1).tolist() == taxonomy.ancestors(last, 0)[:3].tolist()
    return True


@bulk(
    600,
    edges=st.lists(st.tuples(mostly(names, anything), mostly(names | st.none(), anything)), max_size=12)
    | st.lists(anything, max_size=3),
)
def test_pairs(edges: Any) -> bool:
    made = attempt(Taxonomy.from_parents, edges)
    if is_rejected(made):
        assert isinstance(made, TaxonomyError)
        return False
    parents = dict(edges)
    for path in made.short_leaves:
        assert parents[path[-1]] == (path[-2] if len(path) > 1 else None) or path[:-1] == ()
        for above, below in pairwise(path):
            assert parents[below] == above
    assert {name for path in made.short_leaves for name in path} == {n for e in edges for n in e if n is not None}
    return True


@bulk(
    600,
    paths=st.lists(mostly(st.lists(few_names | names, min_size=1, max_size=5).map("/".join), anything), max_size=10),
    separator=mostly(st.sampled_from(["/", ".", "ab"]), anything),
)
def test_paths(paths: Any, separator: Any) -> bool:
    made = attempt(Taxonomy.from_paths, paths, None, separator)
    if is_rejected(made):
        assert isinstance(made, TaxonomyError)
        return False
    leaves = [path.split(separator) for path in paths]
    check(made, [f"l{i + 1}" for i in range(max(map(len, leaves)))], leaves)
    return True


@bulk(800, tree=trees(few_names, most=12), label=names, level=st.none() | st.integers(-7, 7))
def test_a_label_looked_up(tree: tuple[list[str], list[Any]], label: str, level: int | None) -> bool:
    taxonomy = Taxonomy(*tree)
    found = attempt(taxonomy.find, label, level)
    real = {leaf[:n] for leaf in taxonomy.short_leaves for n in range(1, len(leaf) + 1)}
    every = {path for at in range(taxonomy.n_levels) for path in taxonomy.nodes(at)}
    if level is None:
        among = real
    elif -taxonomy.n_levels <= level < taxonomy.n_levels:
        among = {path for path in every if len(path) == level % taxonomy.n_levels + 1}
    else:
        among = set()
    fitting = {path for path in among if path[-1] == label} or {path for path in among if "/".join(path) == label}
    if is_rejected(found):
        assert len(fitting) != 1
        return False
    assert fitting == {found}
    return True


yaml_values = st.recursive(
    mostly(names, anything.filter(lambda value: not isinstance(value, tuple | frozenset))),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(few_names | names, below, max_size=4),
    max_leaves=12,
)


@bulk(
    1000,
    levels=mostly(st.lists(few_names, min_size=2, max_size=4, unique=True), yaml_values),
    tree=yaml_values,
    form=mostly(st.sampled_from(["tree", "leaves"]), names),
    depth=mostly(st.just(0), st.integers(0, 3000)),
    cut=st.none() | st.integers(0, 60),
    noise=mostly(st.just(""), st.text(max_size=5)),
)
def test_yaml(file: File, levels: Any, tree: Any, form: str, depth: int, cut: int | None, noise: str) -> bool:
    text = yaml.dump({"levels": levels, form: tree}, allow_unicode=True, sort_keys=False)
    text += f"{noise}: {'[' * depth}{']' * depth}\n" if depth else ""
    if cut is not None and noise:
        text = text[:cut] + noise + text[cut:]
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    made = attempt(Taxonomy.from_yaml, file)
    if is_rejected(made):
        assert isinstance(made, TaxonomyError)
        assert str(file) in str(made)
        return False
    assert is_tree(list(made.levels), list(made.short_leaves))
    made.to_yaml(file)
    assert Taxonomy.from_yaml(file) == made
    return True


@bulk(300, anchors=st.integers(1, 40), uses=st.integers(1, 12), itself=mostly(st.just(False), st.just(True)))
def test_aliases(file: File, anchors: int, uses: int, itself: bool) -> bool:
    """All classes of a level share the same branches below through YAML aliases."""
    lines = [f"levels: [{', '.join(f'l{i}' for i in range(anchors + 2))}]", "tree:"]
    lines += [f"  k0: &a0 [{', '.join('*a0' if itself else f'n{i}' for i in range(uses))}]"]
    lines += [f"  k{n}: &a{n} {{{', '.join(f'm{i}: *a{n - 1}' for i in range(uses))}}}" for n in range(1, anchors)]
    file.write_text("\n".join([*lines, "  k: {k: " + "{k: " * (anchors - 1) + "*a0" + "}" * anchors]), encoding="utf-8")
    made = attempt(Taxonomy.from_yaml, file)
    written_out = sum((anchors - n) * uses ** (n + 1) for n in range(anchors))
    if is_rejected(made):
        assert "line" in str(made)
        assert itself or written_out > 20_000
        return False
    assert made.sizes[-1] == sum(uses ** (n + 1) for n in range(anchors)) + uses
    return True


@bulk(400, tree=trees(few_names, most=8), rows=st.lists(st.lists(st.integers(-1, 5), min_size=5, max_size=5)))
def test_nesting_of_targets(tree: tuple[list[str], list[Any]], rows: list[list[int]]) -> bool:
    taxonomy = Taxonomy(*tree)
    targets = torch.tensor(rows, dtype=torch.long).reshape(-1, 5)[:, : taxonomy.n_levels]
    report = attempt(nesting_report, targets, taxonomy.levels)
    if is_rejected(report):
        return False
    for level, wrong in enumerate(report.violations):
        for label in range(6):
            above = {row[level] for row in targets.tolist() if row[level + 1] == label and row[level] >= 0}
            assert (len(above) > 1) == (label in wrong)
    return True
