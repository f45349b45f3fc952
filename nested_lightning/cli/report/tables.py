"""Build the tables of the report."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nested_lightning.cli.report.runs import Run


class Cell(NamedTuple):
    """A text, and the number that it is sorted by; None: sorted as text."""

    text: str
    value: float | None = None


class Table(NamedTuple):
    """Headings, and as many cells in each row."""

    headings: list[str]
    rows: list[list[Cell]]


_LEVEL = {"accuracy": "accuracy", "confidence": "confidence", "ece": "ECE", "aurc": "AURC"}
_PATH = {"accuracy": "accuracy", "inconsistency": "inconsistency", "precision": "precision", "recall": "recall",
         "f1": "F1", "aurc": "AURC"}  # fmt: skip


def level_table(runs: Sequence[Run]) -> Table:
    """Return the metrics of every level of every run in percent, before and after calibration."""
    titles = [f"{title}{when}, %" for title in _LEVEL.values() for when in ("", " before calibration")]
    rows = []
    for run in runs:
        for level, classes in zip(run.summary["levels"], run.summary["classes"], strict=True):
            keys = [(when, f"{level}/{name}") for name in _LEVEL for when in ("after", "before")]
            values = [percent(run.summary[when].get(key)) for when, key in keys]
            rows.append([Cell(run.name), Cell(level), Cell(str(classes), classes), *values])
    return Table(["run", "level", "classes", *titles], rows)


def run_table(runs: Sequence[Run]) -> Table:
    """Return the metrics of whole paths, and the cost of each run."""
    headings = ["run", "measured on", *(f"{title}, %" for title in _PATH.values()), "tree distance"]
    rows = []
    for run in runs:
        summary, before, after = run.summary, run.summary["before"], run.summary["after"]
        distance, minutes = after.get("path/tree_distance"), summary["seconds"] / 60
        stages = [epoch["stage"] for epoch in summary["epochs"]]
        epochs = " + ".join(f"{stages.count(stage)} {stage}" for stage in dict.fromkeys(stages))
        split = "test" if summary["split"] == "test" else "validation"
        row = [Cell(run.name), Cell(f"{summary['rows']:,} {split} samples", summary["rows"])]
        for key in (f"path/{name}" for name in _PATH):
            text, value = percent(after.get(key))
            row.append(Cell(f"{text} ({100 * before[key]:.2f})" if before.get(key) is not None else text, value))
        row.append(Cell("–" if distance is None else f"{distance:.2f}", distance))
        row += [Cell(epochs, len(stages)), Cell(f"{minutes:.1f}", minutes)]
        row += [Cell(f"{summary['parameters']:,}", summary["parameters"]), Cell(str(summary["seed"]), summary["seed"])]
        rows.append(row)
    return Table([*headings, "epochs", "minutes", "parameters", "seed"], rows)


def distortion_table(runs: Sequence[Run]) -> Table:
    """Return the metrics of every level under every distortion; no rows if none were measured."""
    rows = []
    for run in runs:
        for test in run.tests:
            strength = test["strength"]
            shown = Cell(test["name"], None), Cell("–" if strength is None else f"{strength:g}", strength)
            for level in run.summary["levels"]:
                values = (percent(test["metrics"].get(f"{level}/{name}")) for name in _LEVEL)
                rows.append([Cell(run.name), *shown, Cell(level), *values])
    return Table(["run", "distortion", "strength", "level", *(f"{title}, %" for title in _LEVEL.values())], rows)


def differences(runs: Sequence[Run], of: str) -> Table:
    """Return the ``settings`` or ``versions`` that differ, a column per run; of a single run, all.

    The folder of the run is left out. Runs made in Python have no settings.
    """
    values: list[dict[str, Any]] = [run.settings if of == "settings" else run.summary[of] for run in runs]
    keys = dict.fromkeys(key for of_run in values for key in of_run if key != "trainer.default_root_dir")
    shown = [key for key in keys if len(runs) == 1 or len({of_run.get(key) for of_run in values}) > 1]
    rows = [[Cell(key), *(Cell(str(of_run.get(key, "–"))) for of_run in values)] for key in shown]
    return Table([of.removesuffix("s"), *(run.name for run in runs)], rows)


def percent(share: float | None) -> Cell:
    """Return a share in percent; None is unknown."""
    return Cell("–") if share is None else Cell(f"{100 * share:.2f}", share)
