"""``lightning taxonomy build``: a taxonomy of what people have."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nested_lightning.cli.taxonomy.output import add_output_options, prepare, write

_KINDS = {
    "columns": "of the label columns of a source, one per level, coarse to fine",
    "folders": "of folders in folders, such as animal/bird/owl/1.jpg; train, test and the like are looked through",
    "edges": "of a csv file with the columns child and parent; the parent of a root is empty",
    "paths": "of texts such as animal/bird/owl: a .txt file with one in each line, or a column of a source",
    "json": "of a JSON file of dicts in dicts, with lists of names at the end",
}


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this command, which has one of its own for each kind."""
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    for kind, text in _KINDS.items():
        command = kinds.add_parser(kind, help=text, description=f"A taxonomy {text}.")
        command.set_defaults(kind=kind)
        command.add_argument("source", metavar={"columns": "SOURCE", "folders": "FOLDER"}.get(kind, "FILE"))
        if kind == "columns":
            command.add_argument("--columns", required=True, nargs="+", metavar="NAME", help="coarse to fine")
            command.add_argument(
                "--allow_repeated_names", action="store_true", help="a name under two parents means two classes"
            )
        if kind == "paths":
            command.add_argument("--column", metavar="NAME", help="column of the paths, if FILE is a source")
            command.add_argument("--separator", default="/", metavar="TEXT", help="between two names (/)")
            command.add_argument(
                "--keep_labels", action="store_true", help="the whole text is the name of its class, as in the data"
            )
        add_output_options(command)


def run(options: Namespace) -> None:
    """Build a taxonomy and write it."""
    from nested_lightning.cli.taxonomy import leaves
    from nested_lightning.errors import TaxonomyError
    from nested_lightning.taxonomy import Taxonomy
    from nested_lightning.taxonomy.build import numbered_levels

    prepare(options, [options.output])
    if options.kind == "columns":
        write(leaves.taxonomy_of_columns(options), options.output)
        return
    if options.kind == "folders":
        paths = leaves.of_folders(Path(options.source))
    elif options.kind == "edges":
        paths = leaves.of_edges(Path(options.source))
    elif options.kind == "json":
        paths = leaves.of_json(Path(options.source))
    else:
        paths = leaves.of_paths(options.source, options.column, options.separator, options.keep_labels)
    try:
        taxonomy = Taxonomy(options.levels or numbered_levels(paths), paths)
    except TaxonomyError as error:
        raise TaxonomyError(f"{options.source}: {error}") from None
    write(taxonomy, options.output)
