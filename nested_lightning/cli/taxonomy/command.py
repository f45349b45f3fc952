"""Options of ``lightning taxonomy``, and the call of what they ask for."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from nested_lightning.cli.output import quietly
from nested_lightning.cli.parser import CommandParser
from nested_lightning.cli.taxonomy import build, check, discover, show
from nested_lightning.errors import NestedLightningError

_DESCRIPTION = "A taxonomy is a tree of labels in a YAML file, for the option --data.taxonomy of the other commands."
_COMMANDS: dict[str, tuple[str, Callable[[ArgumentParser], None], Callable[[Namespace], None]]] = {
    "discover": (
        "group the labels of a source by what a shallow classifier takes for one another",
        discover.add_options,
        discover.run,
    ),
    "build": (
        "make a taxonomy of label columns, folders, pairs of child and parent, paths, or JSON",
        build.add_options,
        build.run,
    ),
    "show": ("print a taxonomy, and the rows that a source has of each class", show.add_options, show.run),
    "check": (
        "name every label that contradicts the taxonomy or other labels. Exit code 0: none, 1: some, 2: cannot tell",
        check.add_options,
        check.run,
    ),
}


def taxonomy_command(args: list[str]) -> None:
    """Run ``taxonomy discover|build|show|check``.

    Raises:
        NestedLightningError: a mistake in the options, the files or the labels.
        SystemExit: after ``--help``; with code 1 after a check that has found something.
    """
    chosen, unknown = _parser().parse_known_args(args or ["--help"])
    if unknown:
        chosen.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        with quietly():
            chosen.run(chosen)
    except NestedLightningError as error:
        raise type(error)(_in_words_of_this_command(str(error))) from error


def _parser() -> ArgumentParser:
    parser = CommandParser("nested-lightning taxonomy", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, add_options, run) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_options(command)
        command.set_defaults(run=run)
    return parser


def _in_words_of_this_command(message: str) -> str:
    """Name options as they are called here: what reads sources knows them as arguments of the data module."""
    message = message.replace("data.source", "source").replace("allow_repeated_names=True", "--allow_repeated_names")
    return re.sub(r"\bdata\.(\w+)", r"--\1", message)
