"""``python -m benchmarks.paper NAME``: train and evaluate what is missing, write JSON and Markdown."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks.paper
from benchmarks.paper.commands import Command, Runs
from benchmarks.paper.markdown import format_table
from benchmarks.paper.report import write_report
from benchmarks.paper.tables import COMMANDS
from benchmarks.paper.training import Workspace, complete, write
from nested_lightning.cli.output import quietly
from nested_lightning.errors import NestedLightningError
from nested_lightning.figures.style import rendered, write_png

ROOT = Path(__file__).parents[2]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a user's mistake is one message, with exit code 2."""
    options = _parser().parse_args(args)
    names = COMMANDS if "all" in options.names else options.names
    commands = [COMMANDS[name] for name in names if name != "report"]
    workspace = Workspace(options.data.resolve(), options.runs.resolve(), options.jobs)
    runs = [command.runs(workspace, options.seeds, options.first_seed) for command in commands]
    try:
        if commands and not options.data.is_dir():
            raise NestedLightningError(f"--data {options.data}: not a folder; give the one with mnist, cifar10, ...")
        os.chdir(ROOT)  # the options name recipes relative to it
        with quietly():
            for measured in (True, False):
                needed = [r for c, r in zip(commands, runs, strict=True) if c.measured == measured]
                complete([e for r in needed for e in r.experiments()], workspace, measured)
            for command, finished in zip(commands, runs, strict=True):
                _build(command, finished, options.results.resolve())
    except NestedLightningError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    if "report" in options.names or "all" in options.names:
        write_report(options.results, ROOT / "docs" / "results.md")


def _build(command: Command, runs: Runs, results: Path) -> None:
    result = command.result(runs)
    for name, figure in result.pictures.items():
        figure.set_dpi(110)
        write_png(rendered(figure), ROOT / "docs" / "figures" / f"{name}.png")
    write(results / f"{command.name}.json", result.to_dict())
    print("\n\n".join(["", result.title, *([format_table(result)] if result.rows else []), *result.pictures]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.paper",
        description=benchmarks.paper.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = [*COMMANDS, "all", "report"]
    add("names", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    data = os.environ.get("NESTED_LIGHTNING_DATA", "../shared/data")
    about = "folder of the data sets (default: $NESTED_LIGHTNING_DATA or %(default)s)"
    add("--data", type=Path, default=data, help=about)
    add("--runs", type=Path, default=Path("runs/paper"), help="folder of the runs (default: %(default)s)")
    add("--seeds", type=int, help="number of seeds (default: that of each table)")
    add("--first_seed", type=int, default=1, help="the first seed (default: %(default)s)")
    add("--jobs", type=int, default=2, help="runs at a time, one thread each (default: %(default)s)")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON files")
    return parser


if __name__ == "__main__":
    main()
