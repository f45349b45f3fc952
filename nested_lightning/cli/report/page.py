"""Build the page of the report: figures side by side and tables, all in one file."""

import base64
import hashlib
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from nested_lightning.cli.report import tables
from nested_lightning.cli.report.runs import Run

MARK = '<meta name="generator" content="nested-lightning report">'
"""Identifies a file as a report, which a later report may overwrite."""
_HERE = Path(__file__).parent
_BROAD = 1000  # pixels: a broader figure gets a row of its own
_TITLES = {
    "timeline": "Training, stage by stage",
    "reliability": "Reliability: accuracy against confidence",
    "uncalibrated/reliability": "Reliability before calibration",
    "confidence": "Confidence of correct and incorrect predictions",
    "risk_coverage": "Risk against coverage",
    "depth": "Depth of the predictions",
    "distortions": "Accuracy and confidence against distortion",
    "samples": "Samples, the most confident mistakes first",
}


def page_of(runs: Sequence[Run]) -> str:
    """Return the page as HTML, with all names, labels and settings escaped."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    names = {name for run in runs for name in run.figures}
    others = sorted(names - _TITLES.keys(), key=lambda name: [int(p) if p.isdigit() else p for p in _numbers(name)])
    sections = {name: _section(name, runs) for name in (*_TITLES, *others) if name in names}
    return environment.get_template("page.html").render(
        mark=MARK,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        # No other script runs and nothing is fetched, whatever the labels and settings contain.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        runs=runs,
        levels=tables.level_table(runs),
        paths=tables.run_table(runs),
        distortions=tables.distortion_table(runs),
        distorted=sections.pop("distortions", None),
        comparison=_comparison(runs),
        settings=tables.differences(runs, "settings"),
        versions=tables.differences(runs, "versions"),
        sections=[section for name, section in sections.items() if not name.startswith("stage-")],
        stages=[section for name, section in sections.items() if name.startswith("stage-")],
    )


def _section(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the figures of one name, one for each run that has it."""
    files = {run.name: run.figures[name] for run in runs if name in run.figures}
    pictures = [{"run": run, "address": _address(file.read_bytes())} for run, file in files.items()]
    return {"title": _title(name), "pictures": pictures, "broad": any(_width(file) > _BROAD for file in files.values())}


def _title(name: str) -> str:
    """Return a heading for the name of a figure.

    Example:
        >>> _title("stage-1-kind/confusion-1-kind"), _title("uncalibrated/confusion-2-species")
        ('After stage 1, kind: confusions, kind', 'Before calibration: confusions, species')
    """
    title = re.sub(r"(^|/)confusion-\d+-", r"\1confusions, ", name).replace("uncalibrated/", "Before calibration: ")
    title = re.sub(r"^stage-(\d+)-(.*)/", r"After stage \1, \2: ", title)
    return _TITLES.get(name, title[0].upper() + title[1:])


def _numbers(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def _width(file: Path) -> int:
    with Image.open(file) as picture:
        return picture.width


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _comparison(runs: Sequence[Run]) -> str:
    """Return a figure of all runs under the distortions that they share, or nothing if they share none."""
    tested = {run.name: run.tests for run in runs if run.tests}
    conditions = [[(test["name"], test["strength"]) for test in tests] for tests in tested.values()]
    levels = [run.summary["levels"] for run in runs if run.tests]
    if len(tested) < 2 or any(c != conditions[0] for c in conditions) or any(names != levels[0] for names in levels):
        return ""
    from nested_lightning.callbacks.run_figures import compared_distortions
    from nested_lightning.figures.style import rendered

    buffer = BytesIO()
    rendered(compared_distortions(tested, levels[0])).save(buffer, format="png")
    return _address(buffer.getvalue())
