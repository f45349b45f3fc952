"""The command ``lightning taxonomy``: find, build, show and check a tree of labels."""

from collections.abc import Sequence

from nested_lightning.cli.output import quietly
from nested_lightning.cli.parser import Commands, run_command
from nested_lightning.cli.taxonomy import build
from nested_lightning.cli.taxonomy.check import check
from nested_lightning.cli.taxonomy.discover import discover
from nested_lightning.cli.taxonomy.show import show

_DESCRIPTION = "A taxonomy is a tree of labels in a YAML file, for the option --data.taxonomy of the other commands."
_COMMANDS: Commands = {
    "discover": discover,
    "build": {
        "columns": build.columns,
        "folders": build.folders,
        "edges": build.edges,
        "paths": build.paths,
        "json": build.json,
    },
    "show": show,
    "check": check,
}


def taxonomy_command(args: Sequence[str]) -> None:
    """Run ``taxonomy discover|build|show|check``.

    Raises:
        NestedLightningError: a mistake in the options, the files or the labels.
        SystemExit: after ``--help``; with code 1 after a check that has found contradictions.
    """
    with quietly():
        run_command(_COMMANDS, args or ["--help"], "nested-lightning taxonomy", _DESCRIPTION)
