"""``python -m benchmarks.peers``: fit the methods, ask the runs, write the tables."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

import benchmarks.peers
from benchmarks.peers import hiclass_peers, svm
from benchmarks.peers.fitted import Fitted
from benchmarks.peers.networks import answers_of_run
from benchmarks.peers.rows import Problem, open_problem
from benchmarks.peers.table import LEGEND, figures, markdown
from nested_lightning.cli.output import quietly
from nested_lightning.errors import NestedLightningError

# What share their fitting stand together.
METHODS: dict[str, Callable[[Problem], dict[str, Fitted]]] = {
    "svm_flat": svm.flat,
    "svm_per_level": svm.per_level,
    "hiclass_lcpn": hiclass_peers.per_parent_node,
    "hiclass_lcpl": hiclass_peers.per_level,
}


def compare(problem: Problem, sources: list[str] | None, methods: Sequence[str], runs: dict[str, list[Path]]) -> Any:
    """Return per test source the figures of each method and of each group of runs, and what the methods chose."""
    tests, taxonomy = problem.tests(sources), problem.taxonomy
    # First, as a run that cannot be asked should not be told of after minutes of fitting.
    asked = {
        (source, name): [answers_of_run(folder, table, taxonomy) for folder in folders]
        for source, (table, _) in tests.items()
        for name, folders in runs.items()
    }
    fitted: dict[str, Fitted] = {}
    for method in methods:
        for name, model in METHODS[method](problem).items():
            print(f"{name}: fitted in {model.seconds:.0f} s, {model.settings}", file=sys.stderr)
            fitted[name] = model
    tables: dict[str, Any] = {}
    for source, (_, rows) in tests.items():
        answers = {name: [model.answer(rows.texts)] for name, model in fitted.items()}
        answers |= {name: asked[source, name] for name in runs}
        found = {name: figures(of_method, rows.targets, taxonomy) for name, of_method in answers.items()}
        for name, of_method in found.items():
            of_method["fit_seconds"] = fitted[name].seconds if name in fitted else None
        tables[source] = {"rows": len(rows.texts), "methods": found}
    return {"settings": {name: model.settings for name, model in fitted.items()}, "tables": tables}


def report(result: Any) -> str:
    """Return all tables with what their figures mean."""
    parts = [markdown(source, table["rows"], table["methods"]) for source, table in result["tables"].items()]
    return "\n\n".join([*parts, LEGEND]) + "\n"


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a mistake is told in one message, with exit code 2."""
    options = _options(args)
    try:
        with quietly():
            problem = open_problem(options.source, options.taxonomy, options.label_columns, options.input_column)
            result = compare(problem, options.test_source, options.methods, dict(options.runs))
    except NestedLightningError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    text = report(result)
    print(text, end="")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peers.md").write_text(text, encoding="utf-8")
        (options.out / "peers.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _options(args: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(args)
    if not options.methods and not options.runs:
        parser.error("nothing to compare: give --methods or --runs")
    names = [name for name, _ in options.runs]
    for name in names:
        if names.count(name) > 1 or name.startswith(("svm_", "hiclass_")):
            parser.error(f"--runs {name}=...: this name is taken, choose another for these runs")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers",
        description=benchmarks.peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", required=True, type=yaml.safe_load, help="a folder, file or hub id, or a list of them: [DIR1,DIR2]")
    add("--test_source", type=_names, help="those of them to test on, one table each; default: all")
    add("--input_column", default="text", help="column of the text (default: text)")
    add("--label_columns", type=yaml.safe_load, help="as data.label_columns: a list coarse to fine, or a leaf column")
    add("--taxonomy", help="as data.taxonomy: a YAML file; default: from the label columns")
    add("--methods", nargs="*", default=list(METHODS), choices=METHODS, help="default: all; networks come by --runs")
    add("--runs", nargs="+", default=[], type=_runs, metavar="NAME=RUN,RUN", help="folders of finished runs, by seed")
    add("--out", type=Path, help="folder for peers.md and peers.json")
    return parser


def _names(text: str) -> list[str]:
    value = yaml.safe_load(text)
    return [str(name) for name in (value if isinstance(value, list) else [value])]


def _runs(text: str) -> tuple[str, list[Path]]:
    name, _, folders = text.partition("=")
    if not (name and folders):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=RUN1,RUN2, as in nested=runs/nested-1,runs/nested-2")
    return name, [Path(folder) for folder in folders.split(",")]


if __name__ == "__main__":
    main()
