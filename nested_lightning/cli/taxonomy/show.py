"""``lightning taxonomy show``: print the tree, and how many rows each class has."""

import torch
from torch import Tensor

from nested_lightning.data.labels import LabelledSource, load_taxonomy
from nested_lightning.data.reading import READING, ReadOptions
from nested_lightning.errors import DataError
from nested_lightning.taxonomy import Taxonomy, nesting_report
from nested_lightning.taxonomy.yaml import drawn


def show(
    file: str,
    *,
    source: str | None = None,
    label_columns: list[str] | None = None,
    reading: ReadOptions = READING,
) -> None:
    """Print a taxonomy, and with a source the number of rows of each class.

    Args:
        file: a YAML file, or one that comes with the package.
        source: hub id, folder or file whose rows are counted.
        label_columns: one column of labels of any level, or one for each level, coarse to fine (the levels, or label).
        reading: how to read the source.
    """
    taxonomy = load_taxonomy(file)
    if source is None:
        print(taxonomy.show())
        return
    data = LabelledSource(source, taxonomy, leaf_or_levels(label_columns), reading=reading, argument="label_columns")
    targets = torch.cat([data.targets(split) for split in data.splits])
    print(tree_with_counts(taxonomy, targets))
    unlabelled = int((targets[:, 0] < 0).sum())
    print(f"{len(targets)} rows in {', '.join(data.splits)}, {unlabelled} of them without a label\n")
    try:
        print(nesting_report(targets, taxonomy.levels))
    except DataError as error:  # a source may have labels of the coarsest level alone
        print(f"nesting cannot be measured: {error}")


def leaf_or_levels(columns: list[str] | None) -> str | list[str] | None:
    """Return an option as :class:`LabelledSource` takes it: a single column is a leaf column, given as its name."""
    return columns[0] if columns is not None and len(columns) == 1 else columns


def tree_with_counts(taxonomy: Taxonomy, targets: Tensor) -> str:
    """Return the drawing of the tree with the number of rows of each class in ``targets`` [N, n_levels].

    Example:
        >>> taxonomy = Taxonomy.from_paths(["animal/cat", "animal/dog", "stone"])
        >>> print(tree_with_counts(taxonomy, torch.tensor([[0, 0], [0, -1], [1, 2]])))
        Taxonomy(l1 2 > l2 3)
        ├── animal: 2 rows, 1 of them known no further
        │   ├── cat: 1 row
        │   └── dog: 0 rows
        └── stone: 1 row
    """
    texts: dict[tuple[str, ...], str] = {}
    for level in range(taxonomy.n_levels):
        for index, path in enumerate(taxonomy.nodes(level)):
            rows = targets[targets[:, level] == index]
            no_further = int((rows[:, level + 1] < 0).sum()) if level + 1 < taxonomy.n_levels else 0
            text = f"{path[-1]}: {len(rows)} row{'s' * (len(rows) != 1)}"
            texts[path] = text + (f", {no_further} of them known no further" if no_further else "")
    leaves = [tuple(texts[leaf[:n]] for n in range(1, len(leaf) + 1)) for leaf in taxonomy.short_leaves]
    return "\n".join([repr(taxonomy), *drawn(leaves)])
