"""``python -m benchmarks.peers``: fit the methods, predict with the runs, write the tables."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import benchmarks.peers
from benchmarks.peers.methods import METHODS, Fitted
from benchmarks.peers.problem import Problem, predict_with_run
from benchmarks.peers.table import LEGEND, compute_metrics, format_table
from nested_lightning.cli.output import quietly
from nested_lightning.errors import NestedLightningError


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a user's mistake is one message, with exit code 2."""
    options = _parse(args)
    try:
        with quietly():
            problem = Problem(options.source, options.taxonomy, options.label_columns, options.input_column)
            result = compare(problem, options.test_source, options.methods, dict(options.runs))
    except NestedLightningError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    tables = [format_table(source, table["rows"], table["methods"]) for source, table in result["tables"].items()]
    text = "\n\n".join([*tables, LEGEND]) + "\n"
    print(text, end="")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "peers.md").write_text(text, encoding="utf-8")
        (options.out / "peers.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def compare(problem: Problem, sources: list[str] | None, methods: Sequence[str], runs: dict[str, list[Path]]) -> Any:
    """Return per test source the metrics of each method and of each group of runs, and the settings chosen."""
    tests, taxonomy = problem.tests(sources), problem.taxonomy
    # First, so that a run that cannot be used fails before minutes of fitting.
    of_runs = {
        (source, name): [predict_with_run(folder, table, taxonomy) for folder in folders]
        for source, (table, _) in tests.items()
        for name, folders in runs.items()
    }
    fitted: dict[str, Fitted] = {}
    for method in methods:
        for name, model in METHODS[method](problem).items():
            print(f"{name}: fitted in {model.seconds:.0f} s, {model.settings}", file=sys.stderr)
            fitted[name] = model
    tables: dict[str, Any] = {}
    for source, (_, samples) in tests.items():
        predicted = {name: [model.predict(samples.texts)] for name, model in fitted.items()}
        predicted |= {name: of_runs[source, name] for name in runs}
        found = {name: compute_metrics(of_method, samples.targets, taxonomy) for name, of_method in predicted.items()}
        for name, metrics in found.items():
            metrics["fit_seconds"] = fitted[name].seconds if name in fitted else None
        tables[source] = {"rows": len(samples.texts), "methods": found}
    return {"settings": {name: model.settings for name, model in fitted.items()}, "tables": tables}


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
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
    options = parser.parse_args(args)
    if not options.methods and not options.runs:
        parser.error("nothing to compare: give --methods or --runs")
    names = [name for name, _ in options.runs]
    for name in names:
        if names.count(name) > 1 or name.startswith(("svm_", "hiclass_")):
            parser.error(f"--runs {name}=...: this name is taken, choose another for these runs")
    return options


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
