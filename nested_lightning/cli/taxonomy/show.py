"""``lightning taxonomy show``: the tree, and how many rows there are of each class."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from nested_lightning.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from nested_lightning.taxonomy import Taxonomy


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("file", metavar="FILE", help="a YAML file, or one that comes with the package")
    parser.add_argument("--source", help="hub id, folder or file whose rows are counted")
    add_label_columns(parser)


def add_label_columns(parser: ArgumentParser) -> None:
    """Add the option that says where the labels of a source are."""
    parser.add_argument(
        "--label_columns",
        nargs="+",
        metavar="NAME",
        help="one column of labels of any level, or one for each level, coarse to fine (the levels, or label)",
    )


def run(options: Namespace) -> None:
    """Print the tree; with a source also rows per class and the nesting report."""
    import torch

    from nested_lightning.data.labelled import LabelledSource, load_taxonomy
    from nested_lightning.taxonomy import nesting_report

    taxonomy = load_taxonomy(options.file)
    if options.source is None:
        print(taxonomy.show())
        return
    data = LabelledSource(options.source, taxonomy, label_columns(options))
    targets = torch.cat([data.targets(split) for split in data.splits])
    print(tree_with_counts(taxonomy, targets))
    print(
        f"{len(targets)} rows in {', '.join(data.splits)}, {int((targets[:, 0] < 0).sum())} of them without a label\n"
    )
    try:
        print(nesting_report(targets, taxonomy.levels))
    except DataError as error:  # rows of the coarsest level alone are no mistake
        print(f"nesting cannot be measured: {error}")


def label_columns(options: Namespace) -> str | list[str] | None:
    """Return the option as a ``LabelledSource`` takes it: one column is a leaf column, and written as a text."""
    columns: list[str] | None = options.label_columns
    return columns[0] if columns is not None and len(columns) == 1 else columns


def tree_with_counts(taxonomy: "Taxonomy", targets: "Tensor") -> str:
    """Return the drawing of the tree with the number of rows of each class.

    Args:
        taxonomy: of the targets.
        targets: integers ``[N, n_levels]``, -1 = unknown.

    Example:
        >>> import torch
        >>> from nested_lightning import Taxonomy
        >>> taxonomy = Taxonomy.from_paths(["animal/cat", "animal/dog", "stone"])
        >>> print(tree_with_counts(taxonomy, torch.tensor([[0, 0], [0, -1], [1, 2]])))
        Taxonomy(l1 2 > l2 3)
        ├── animal: 2 rows, 1 of them known no further
        │   ├── cat: 1 row
        │   └── dog: 0 rows
        └── stone: 1 row
    """
    from nested_lightning.taxonomy.yaml import drawn

    texts: dict[tuple[str, ...], str] = {}
    for level in range(taxonomy.n_levels):
        for index, path in enumerate(taxonomy.nodes(level)):
            rows = targets[targets[:, level] == index]
            no_further = int((rows[:, level + 1] < 0).sum()) if level + 1 < taxonomy.n_levels else 0
            text = f"{path[-1]}: {len(rows)} row{'s' * (len(rows) != 1)}"
            texts[path] = text + (f", {no_further} of them known no further" if no_further else "")
    leaves = [tuple(texts[leaf[:n]] for n in range(1, len(leaf) + 1)) for leaf in taxonomy.short_leaves]
    return "\n".join([repr(taxonomy), *drawn(leaves)])
