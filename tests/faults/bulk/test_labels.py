"""Label columns of every type give the targets that a slow loop finds, or an error that names the row."""

import math
import re
from datetime import datetime
from typing import Any

import datasets
import pyarrow as pa
import pytest
import torch
from faults.bulk.outcomes import attempt, bulk, is_rejected
from faults.bulk.trees import ODD_TEXTS, few_names, is_text, is_tree, mostly, real_depth, trees, typed_rows
from hypothesis import strategies as st

from nested_lightning import HierarchicalDataModule
from nested_lightning.data.labels import LabelledSource
from nested_lightning.errors import NestedLightningError, TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.names import clean

WRONG = object()
TEXTS = [text for text in ODD_TEXTS if is_text(text) or not text]
KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.sampled_from(TEXTS) | st.text(max_size=5),
    pa.large_string(): few_names,
    pa.int64(): st.integers(-3, 12) | st.sampled_from([2**62, -(2**62)]),
    pa.uint8(): st.integers(0, 255),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.bool_(): st.booleans(),
    pa.binary(): st.binary(max_size=3),
    pa.list_(pa.string()): st.lists(few_names, max_size=2),
    pa.struct({"a": pa.string()}): st.fixed_dictionaries({"a": few_names}),
    pa.timestamp("us"): st.just(datetime(2024, 1, 1)),
    pa.null(): st.none(),
}


def table(columns: dict[str, list[Any]], kind: pa.DataType | None = None) -> datasets.Dataset:
    return datasets.Dataset(pa.table({name: pa.array(cells, kind or pa.string()) for name, cells in columns.items()}))


def text_of(cell: Any) -> Any:
    """Return the label in a cell: None if it is empty, WRONG if no label can look like this."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, str):
        return clean(cell) or None
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, int | float) and math.isfinite(cell) and cell == int(cell):
        if isinstance(cell, float) and abs(cell) >= 2**53:
            return WRONG
        return str(int(cell))
    return WRONG


def fitting(taxonomy: Taxonomy, labels: dict[int, str]) -> set[tuple[str, ...]]:
    """Return the classes that match a row's labels (level -> label)."""
    level = max(labels)
    named = [path for path in taxonomy.nodes(level) if path[-1] == labels[level]]
    found = named or [path for path in taxonomy.nodes(level) if "/".join(path) == labels[level]]
    return {
        path for path in found if all(label in (path[at], "/".join(path[: at + 1])) for at, label in labels.items())
    }


def target_of(taxonomy: Taxonomy, path: tuple[str, ...]) -> list[int]:
    """Find the class of each level by search; a leaf above the last level is known at all levels."""
    for leaf in taxonomy.leaves:
        depth = real_depth(leaf, taxonomy.leaves, taxonomy.n_levels)
        if depth <= len(path) and leaf[: len(path)] == path:
            path = leaf
    known = [taxonomy.nodes(level).index(path[: level + 1]) for level in range(len(path))]
    return known + [-1] * (taxonomy.n_levels - len(path))


@bulk(1000, tree=trees(few_names, most=10), kind=st.none() | st.sampled_from(list(KINDS)), data=st.data())
def test_a_leaf_column(tree: Any, kind: pa.DataType | None, data: st.DataObject) -> bool:
    taxonomy = Taxonomy(*tree)
    known = [text for path in taxonomy.short_leaves for text in (path[-1], path[0], "/".join(path))]
    cell = mostly(st.sampled_from(known), KINDS.get(kind, few_names)) if kind is None else KINDS[kind]
    cells = data.draw(st.lists(mostly(cell, st.none()), min_size=1, max_size=12))
    rows = table({"label": cells}, kind)
    source = LabelledSource(rows, taxonomy, "label")
    targets = attempt(source.targets, "train")
    real = {leaf[:n] for leaf in taxonomy.short_leaves for n in range(1, len(leaf) + 1)}
    expected = []
    for row, text in enumerate(map(text_of, rows["label"])):
        named = {path for path in real if path[-1] == text} or {path for path in real if "/".join(path) == text}
        if text is WRONG or (text is not None and len(named) != 1):
            assert is_rejected(targets), (text, targets)
            assert f"row {row} " in str(targets) or text is not WRONG
            return False
        expected.append([-1] * taxonomy.n_levels if text is None else target_of(taxonomy, *named))
    assert not is_rejected(targets), targets
    assert targets.tolist() == expected
    return True


@bulk(300, tree=trees(few_names, most=10), numbers=st.lists(st.integers(-3, 9) | st.none(), min_size=1, max_size=9))
def test_a_column_of_numbered_labels(tree: Any, numbers: list[int | None]) -> bool:
    """The numbers of a ``ClassLabel`` column in a file may be out of range."""
    taxonomy = Taxonomy(*tree)
    names = ["/".join(path) for path in taxonomy.short_leaves]
    rows = typed_rows("label", datasets.ClassLabel(names=names), numbers)
    targets = attempt(LabelledSource(rows, taxonomy, "label").targets, "train")
    if is_rejected(targets):
        return False
    assert max(number or 0 for number in numbers) < len(names)
    for number, target in zip(numbers, targets.tolist(), strict=True):
        is_known = number is not None and number >= 0
        assert target == (target_of(taxonomy, taxonomy.short_leaves[number]) if is_known else [-1] * taxonomy.n_levels)
    return True


@bulk(1500, tree=trees(few_names, most=8), data=st.data())
def test_level_columns(tree: Any, data: st.DataObject) -> bool:
    taxonomy = Taxonomy([f"l{i}" for i in range(len(tree[0]))], tree[1])
    leaves = data.draw(st.lists(st.sampled_from(taxonomy.leaves), min_size=1, max_size=8))
    noise = mostly(st.just(""), few_names | st.sampled_from(TEXTS))
    cells = [[data.draw(noise) or (name if data.draw(st.integers(0, 3)) else None) for name in leaf] for leaf in leaves]
    columns = {level: list(column) for level, column in zip(taxonomy.levels, zip(*cells, strict=True), strict=True)}
    source = LabelledSource(table(columns), taxonomy, list(taxonomy.levels))
    targets = attempt(source.targets, "train")
    expected = []
    for row in cells:
        labels = {level: cell for level, cell in enumerate(row) if text_of(cell) is not None}
        found = fitting(taxonomy, labels) if labels else {()}
        if len(found) != 1:
            assert is_rejected(targets)
            assert re.search(r"rows? \d", str(targets))
            return False
        expected.append(target_of(taxonomy, found.pop()) if labels else [-1] * taxonomy.n_levels)
    assert not is_rejected(targets), targets
    assert targets.tolist() == expected
    return True


@bulk(
    1000,
    rows=st.lists(
        st.lists(mostly(few_names, st.sampled_from([None, "", "a/b", "é", "\x00"])), min_size=3, max_size=3),
        min_size=1,
        max_size=8,
    ),
    gaps=st.booleans(),
    repeated=st.booleans(),
)
def test_a_taxonomy_of_columns(rows: list[list[Any]], gaps: bool, repeated: bool) -> bool:
    rows = [[f"{i}{name}" if name and not gaps else name for i, name in enumerate(row)] for row in rows]
    columns = {f"l{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))}
    source = LabelledSource(table(columns), None, list(columns), None, repeated)
    taxonomy = attempt(lambda: source.taxonomy)
    known = [tuple(text_of(cell) for cell in row) for row in rows]
    whole = [tuple(filter(None, row)) for row in known if list(filter(None, row)) == list(row[: sum(map(bool, row))])]
    paths = {row[:n] for row in whole for n in range(1, len(row) + 1)}
    if is_rejected(taxonomy):
        assert isinstance(taxonomy, TaxonomyError)
        names = [(len(path), path[-1]) for path in paths]
        is_ambiguous = len(set(names)) < len(names) and not repeated
        leaves = [path for path in paths if not any(other[: len(path)] == path != other for other in paths)]
        has_gaps = len(whole) < len(rows)
        assert is_ambiguous or has_gaps or not is_tree(list(columns), leaves)
        return False
    assert {leaf[:n] for leaf in taxonomy.short_leaves for n in range(1, len(leaf) + 1)} <= paths
    for row, target in zip(known, source.targets("train").tolist(), strict=True):
        for level, label in enumerate(row):
            assert label is None or taxonomy.nodes(level)[target[level]][-1] == label or "/" in label
    return True


@pytest.fixture(scope="module")
def digits() -> datasets.Dataset:
    rows = {"x": [[float(i)] for i in range(60)], "label": [str(i % 10) if i % 7 else None for i in range(60)]}
    return datasets.Dataset.from_dict(rows)


amounts = st.integers(-2, 80) | st.floats(0, 1) | st.floats() | st.none()


@bulk(
    800,
    budgets=st.none() | st.lists(st.integers(0, 25) | st.sampled_from([-1, 2**40]), max_size=4),
    validation=amounts.filter(lambda n: n is not None),
    test=amounts,
    seed=st.integers(-5, 2**70),
)
def test_parts(digits: datasets.Dataset, budgets: Any, validation: Any, test: Any, seed: int) -> bool:
    leaves = [["even" if int(d) % 2 == 0 else "odd", d] for d in "0123456789"]
    taxonomy = Taxonomy(["parity", "digit"], leaves)
    options: dict[str, Any] = {"budgets": budgets, "validation": validation, "test": test, "seed": seed}

    def divided() -> Any:
        data = HierarchicalDataModule(digits, taxonomy, "x", "label", **options)
        return data.partition, data.labelled_dataloader("train").dataset

    made = attempt(divided)
    if is_rejected(made):
        assert isinstance(made, NestedLightningError)
        return False
    partition, rows = made
    labelled = [row for row, label in enumerate(digits["label"]) if label is not None]
    used = torch.cat([*partition.subsets, partition.validation, partition.test]).tolist()
    assert len(set(used)) == len(used)
    assert set(used) <= set(labelled)
    sizes = [len(subset) for subset in partition.subsets]
    assert sizes == ([0, len(partition.train)] if budgets is None else budgets)
    assert len(partition.validation) == (round(validation * 51) if isinstance(validation, float) else validation)
    assert (rows.inputs.flatten() == partition.train).all()
    return True
