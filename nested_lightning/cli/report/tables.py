"""The tables of the report, as texts with the values that they are sorted by."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nested_lightning.cli.report.run import Run


class Cell(NamedTuple):
    """What is shown, and the number that it is sorted by; None: sorted as text."""

    text: str
    value: float | None = None


class Table(NamedTuple):
    """Headings, and as many cells in each row."""

    headings: list[str]
    rows: list[list[Cell]]


_LEVEL = ("accuracy", "confidence", "ece", "aurc")
_PATH = ("accuracy", "inconsistency", "precision", "recall", "f1", "aurc")
_HEADINGS = {"ece": "ECE", "aurc": "AURC", "f1": "F1"}


def level_table(runs: Sequence[Run]) -> Table:
    """Return the metrics of every level of every run in percent, before and after calibration."""
    headings = ["run", "level", "classes"]
    for name in _LEVEL:
        title = _HEADINGS.get(name, name)
        headings += [f"{title}, %", f"{title} before calibration, %"]
    rows = []
    for run in runs:
        summary = run.summary
        for level, classes in zip(summary["levels"], summary["classes"], strict=True):
            cells = [Cell(run.name), Cell(level), Cell(str(classes), classes)]
            for name in _LEVEL:
                cells += [percent(summary[when].get(f"{level}/{name}")) for when in ("after", "before")]
            rows.append(cells)
    return Table(headings, rows)


def run_table(runs: Sequence[Run]) -> Table:
    """Return the metrics of whole paths, and what a run has taken."""
    headings = ["run", "measured on", *(f"{_HEADINGS.get(name, name)}, %" for name in _PATH), "tree distance"]
    headings += ["epochs", "minutes", "parameters", "seed"]
    rows = []
    for run in runs:
        summary, before, after = run.summary, run.summary["before"], run.summary["after"]
        measured = f"{summary['rows']:,} {'test' if summary['split'] == 'test' else 'validation'} rows"
        distance, minutes = after.get("path/tree_distance"), summary["seconds"] / 60
        stages = [epoch["stage"] for epoch in summary["epochs"]]
        epochs = " + ".join(f"{stages.count(stage)} {stage}" for stage in dict.fromkeys(stages))
        rows.append(
            [
                Cell(run.name),
                Cell(measured, summary["rows"]),
                *(_both(after.get(f"path/{name}"), before.get(f"path/{name}")) for name in _PATH),
                Cell("–" if distance is None else f"{distance:.2f}", distance),
                Cell(epochs, len(stages)),
                Cell(f"{minutes:.1f}", minutes),
                Cell(f"{summary['parameters']:,}", summary["parameters"]),
                Cell(str(summary["seed"]), summary["seed"]),
            ]
        )
    return Table(headings, rows)


def distortion_table(runs: Sequence[Run]) -> Table:
    """Return accuracy and confidence of every level under every distortion; no rows where nothing was measured."""
    rows = []
    for run in runs:
        for test in run.tests:
            strength = test["strength"]
            shown = Cell(test["name"], None), Cell("–" if strength is None else f"{strength:g}", strength)
            for level in run.summary["levels"]:
                figures = (percent(test["metrics"].get(f"{level}/{name}")) for name in _LEVEL)
                rows.append([Cell(run.name), *shown, Cell(level), *figures])
    headings = ["run", "distortion", "strength", "level", *(f"{_HEADINGS.get(name, name)}, %" for name in _LEVEL)]
    return Table(headings, rows)


def differences(runs: Sequence[Run], of: str) -> Table:
    """Return what ``settings`` or ``versions`` differ in, a column per run; of a single run, all.

    The folder of the run is left out. A run of which there is nothing of the kind, as of the settings of one made in
    Python, counts as having none.
    """
    values: list[dict[str, Any]] = [run.settings if of == "settings" else run.summary[of] for run in runs]
    keys = dict.fromkeys(key for of_run in values for key in of_run if key != "trainer.default_root_dir")
    shown = [key for key in keys if len(runs) == 1 or len({of_run.get(key) for of_run in values}) > 1]
    rows = [[Cell(key), *(Cell(str(of_run.get(key, "–"))) for of_run in values)] for key in shown]
    return Table([of.removesuffix("s"), *(run.name for run in runs)], rows)


def _both(after: float | None, before: float | None) -> Cell:
    text, value = percent(after)
    return Cell(text if before is None else f"{text} ({100 * before:.2f})", value)


def percent(share: float | None) -> Cell:
    """Return a share in percent; nothing is known of None."""
    return Cell("–") if share is None else Cell(f"{100 * share:.2f}", share)
