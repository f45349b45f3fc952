"""Tables of accuracy per level, as described in the YAML files of this folder: 1, 2, 5, 6, E.1, E.2, neighbours."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.paper.commands import Differences, Runs, table
from benchmarks.paper.evaluation import CLEAN, PARTS
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.significance import subtract

BROKEN = "rows broken"
"""A column of Table 4 that is not an accuracy."""


def build_distortions(description: Any, runs: Runs) -> Result:
    """Return accuracy and confidence on clean and distorted samples, a row per model and level."""
    rows = []
    for label, variant, state, level, *paper in description["rows"]:
        measured = [e[state] for e in runs.evaluations(variant)]
        values = [[float(x) for x in cell.split("/")] for cell in "".join(paper).split()] or [[]] * len(PARTS)
        cells = []
        for part, theirs in zip(PARTS, values, strict=True):
            accuracy, confidence = (
                percent([m[part][f"{level}/{key}"] for m in measured]) for key in ("accuracy", "confidence")
            )
            cells.append(Cell(accuracy, confidence, theirs))
        rows.append(Row(label, cells))
    columns = ["Original", *(f"Distortion {i}" for i in range(1, len(PARTS)))]
    return Result(title=description["title"], columns=columns, rows=rows, notes=description.get("notes", []))


def build_levels(description: Any, runs: Runs) -> Result:
    """Return the accuracy on clean samples, a column per level."""
    levels = description["levels"]
    rows = []
    for label, variant, paper in description["rows"]:
        measured = [e["calibrated"][CLEAN] for e in runs.evaluations(variant)]
        accuracies = [percent([m[f"{level}/accuracy"] for m in measured]) for level in levels]
        pairs = zip(accuracies, paper.split(), strict=True)
        rows.append(Row(label, [Cell(ours, [], [float(theirs)]) for ours, theirs in pairs]))
    return Result(title=description["title"], columns=levels, rows=rows, notes=description.get("notes", []))


def subtract_rows(dataset: str, result: Result) -> tuple[str, Differences]:
    """Return nested minus each baseline, where each has a row of accuracies (or one per attack: ``ATTACK, METHOD``)."""
    rows = {
        row.label.lower(): {
            column: cell.accuracy
            for column, cell in zip(result.columns, row.cells, strict=True)
            if cell is not None and column != BROKEN
        }
        for row in result.rows
    }
    found: dict[str, dict[str, Sequence[float]]] = {}
    for label, baseline in rows.items():
        *attack, method = label.split(", ")
        if method != "nested":
            nested = rows[", ".join([*attack, "nested"])]
            found[label] = {column: subtract(nested[column], theirs) for column, theirs in baseline.items()}
    return result.title, found


def _register(file: str, build: Callable[[Any, Runs], Result], **options: Any) -> None:
    described = yaml.safe_load(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    for name, of_table in described.items():
        variants, seeds = [row[1] for row in of_table["rows"]], of_table.get("seeds", 5)
        table(name, dataset=of_table["dataset"], variants=variants, seeds=seeds, **options)(partial(build, of_table))


_register("distortions.yaml", build_distortions)
_register("levels.yaml", build_levels, differences=subtract_rows)
