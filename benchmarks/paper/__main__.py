"""``python -m benchmarks.paper NAME``: train what is missing, measure, write JSON and Markdown."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks.paper
from benchmarks.paper.commands import COMMANDS
from benchmarks.paper.figures import save
from benchmarks.paper.markdown import table
from benchmarks.paper.report import write_report
from benchmarks.paper.training import Workspace, complete, write
from nested_lightning.cli.output import quietly
from nested_lightning.errors import NestedLightningError

ROOT = Path(__file__).parents[2]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a mistake is told in one message, with exit code 2."""
    options = _options(args)
    names = [name for name in (COMMANDS if "all" in options.names else options.names) if name != "report"]
    workspace = Workspace(options.data.resolve(), options.runs.resolve(), options.jobs)
    first = options.first_seed
    seeds = {name: list(range(first, first + (options.seeds or COMMANDS[name].seeds))) for name in names}
    try:
        if names and not options.data.is_dir():
            raise NestedLightningError(f"--data {options.data}: there is no such folder; it holds mnist, cifar10, ...")
        os.chdir(ROOT)  # recipes are named from there
        with quietly():
            for measured in (True, False):
                chosen = [name for name in names if COMMANDS[name].measured == measured]
                complete([e for name in chosen for e in COMMANDS[name].needs(name, seeds[name])], workspace, measured)
            for name in names:
                _build(name, seeds[name], workspace, options.results.resolve())
    except NestedLightningError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    if "report" in options.names or "all" in options.names:
        write_report(options.results, ROOT / "docs" / "results.md")


def _build(name: str, seeds: list[int], workspace: Workspace, results: Path) -> None:
    result = COMMANDS[name].build(name, seeds, workspace)
    for picture, figure in result.pictures.items():
        save(figure, ROOT / "docs" / "figures" / f"{picture}.png")
    write(results / f"{name}.json", result.to_dict())
    print("\n\n".join(["", result.title, *([table(result)] if result.rows else []), *result.pictures]))


def _options(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.paper",
        description=benchmarks.paper.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "names",
        nargs="+",
        choices=[*COMMANDS, "all", "report"],
        metavar="NAME",
        help=", ".join([*COMMANDS, "all, report"]),
    )
    data = os.environ.get("NESTED_LIGHTNING_DATA", "../shared/data")
    add(
        "--data",
        type=Path,
        default=data,
        help="folder of the data sets (default: $NESTED_LIGHTNING_DATA or %(default)s)",
    )
    add("--runs", type=Path, default=Path("runs/paper"), help="folder of the runs (default: %(default)s)")
    add("--seeds", type=int, help="how many (default: that of each table)")
    add("--first_seed", type=int, default=1, help="the first of them (default: %(default)s)")
    add("--jobs", type=int, default=2, help="runs at a time, one thread each (default: %(default)s)")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON files")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
