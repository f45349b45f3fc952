"""``lightning taxonomy check``: print every contradiction, not only the first."""

import sys

from nested_lightning.cli.taxonomy.show import leaf_or_levels
from nested_lightning.data.labels import LabelledSource, load_taxonomy
from nested_lightning.data.reading import READING, ReadOptions, warn_of_lookalikes
from nested_lightning.errors import ConfigurationError


def check(
    what: str,
    *,
    taxonomy: str | None = None,
    label_columns: list[str] | None = None,
    allow_repeated_names: bool = False,
    reading: ReadOptions = READING,
) -> None:
    """Print every label that contradicts the taxonomy or other labels. Exit code 0: none, 1: some, 2: not checked.

    Args:
        what: a taxonomy (.yaml), or a source of labelled rows.
        taxonomy: file to compare the labels of a source with; without it, the label columns are compared with each
            other.
        label_columns: one column of labels of any level, or one for each level, coarse to fine (the levels, or label).
        allow_repeated_names: a name under two parents means two classes.
        reading: how to read the source.
    """
    if what.endswith((".yaml", ".yml")):
        if taxonomy or label_columns:
            raise ConfigurationError(
                f"{what} is a taxonomy, which needs no --taxonomy and no --label_columns: give the source in its "
                f"place, and --taxonomy {what}"
            )
        tree = load_taxonomy(what)
        for level, name in enumerate(tree.levels):
            warn_of_lookalikes(tree.names(level), f"level {name!r}")
        print(f"{what} is fine: {tree!r}")
        return
    columns = leaf_or_levels(label_columns)
    source = LabelledSource(what, taxonomy, columns, None, allow_repeated_names, reading, argument="label_columns")
    if taxonomy is None and not isinstance(columns, list) and not source.labelled_by_folders:
        raise ConfigurationError(
            f"the labels of {what} are to be compared with what? Give --taxonomy FILE, or --label_columns "
            "with one column for each level, coarse to fine"
        )
    if found := source.contradictions():
        print(*found, f"{len(found)} contradiction{'s' * (len(found) > 1)}", sep="\n")
        sys.exit(1)
    used = source.label_columns(source.all_rows)
    names = ", ".join(map(repr, [used] if isinstance(used, str) else used))
    print(f"{what} is fine: {len(source.all_rows)} rows, columns {names}")
