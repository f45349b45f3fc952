"""``lightning taxonomy check``: every contradiction, not the first only."""

import sys
from argparse import ArgumentParser, Namespace

from nested_lightning.cli.taxonomy.show import add_label_columns
from nested_lightning.errors import ConfigurationError


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("what", metavar="FILE_OR_SOURCE", help="a taxonomy (.yaml), or a source of labelled rows")
    parser.add_argument(
        "--taxonomy",
        metavar="FILE",
        help="to compare the labels of a source with; without it, its --label_columns are compared with each other",
    )
    add_label_columns(parser)
    parser.add_argument(
        "--allow_repeated_names", action="store_true", help="a name under two parents means two classes"
    )


def run(options: Namespace) -> None:
    """Check a taxonomy, or the labels of a source."""
    from nested_lightning.cli.taxonomy.contradictions import columns_against_each_other, labels_against_taxonomy
    from nested_lightning.cli.taxonomy.labels import read_cells
    from nested_lightning.data.labelled import load_taxonomy
    from nested_lightning.data.sources import open_source

    if options.what.endswith((".yaml", ".yml")):
        _refuse_options_of_sources(options)
        print(f"{options.what} is fine: {load_taxonomy(options.what)!r}")
        return
    taxonomy = None if options.taxonomy is None else load_taxonomy(options.taxonomy)
    columns = options.label_columns
    if taxonomy is None and (columns is None or len(columns) < 2):
        raise ConfigurationError(
            f"the labels of {options.what} are to be compared with what? Give --taxonomy FILE, or --label_columns "
            "with one column for each level, coarse to fine"
        )
    cells = read_cells(open_source(options.what), columns, None if taxonomy is None else taxonomy.levels)
    if taxonomy is None:
        found = columns_against_each_other(cells, options.allow_repeated_names)
    else:
        found = labels_against_taxonomy(cells, taxonomy)
    for contradiction in found:
        print(contradiction)
    if found:
        print(f"{len(found)} contradiction{'s' * (len(found) > 1)}")
        sys.exit(1)
    print(f"{options.what} is fine: {len(cells.rows)} rows, columns {', '.join(map(repr, cells.columns))}")


def _refuse_options_of_sources(options: Namespace) -> None:
    if options.taxonomy or options.label_columns:
        raise ConfigurationError(
            f"{options.what} is a taxonomy, which needs no --taxonomy and no --label_columns: give the source in its "
            f"place, and --taxonomy {options.what}"
        )
