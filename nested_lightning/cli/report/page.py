"""The page of the report: pictures beside one another, tables, all in one file."""

import base64
import hashlib
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from nested_lightning.cli.report import tables
from nested_lightning.cli.report.command import MARK
from nested_lightning.cli.report.run import Run

_HERE = Path(__file__).parent
_BROAD = 1000  # pixels
_TITLES = {
    "timeline": "Training, stage by stage",
    "reliability": "Reliability: accuracy against confidence",
    "uncalibrated/reliability": "Reliability before calibration",
    "confidence": "Confidence of right and wrong answers",
    "risk_coverage": "Risk against coverage",
    "depth": "How deep the answers go",
    "distortions": "Accuracy and confidence against distortion",
    "samples": "Samples, the most confident mistakes first",
}


class Picture(NamedTuple):
    """A picture of a run, as the address of its own content."""

    run: str
    address: str


class Section(NamedTuple):
    """Pictures of one kind, one for each run that has it; broad ones need more room to be read."""

    title: str
    pictures: list[Picture]
    broad: bool


def page_of(runs: Sequence[Run]) -> str:
    """Return the page as HTML; names, labels and settings are escaped, whatever they hold."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    sections = _sections(runs)
    return environment.get_template("page.html").render(
        mark=MARK,
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        # No other script runs and nothing is fetched, whatever found its way into the page.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        runs=runs,
        levels=tables.level_table(runs),
        paths=tables.run_table(runs),
        distortions=tables.distortion_table(runs),
        comparison=_comparison(runs),
        settings=tables.differences(runs, "settings"),
        versions=tables.differences(runs, "versions"),
        sections=[section for name, section in sections.items() if not name.startswith("stage-")],
        stages=[section for name, section in sections.items() if name.startswith("stage-")],
    )


def _sections(runs: Sequence[Run]) -> dict[str, Section]:
    """Return the pictures by name: the known ones in their order, then the confusions."""
    names = {name for run in runs for name in run.figures}
    known = list(_TITLES)
    sections = {}
    for name in [*known, *sorted(names - set(known), key=_natural)]:
        if name in names:
            files = {run.name: run.figures[name] for run in runs if name in run.figures}
            pictures = [Picture(run, _address(file.read_bytes())) for run, file in files.items()]
            sections[name] = Section(_title(name), pictures, max(map(_width, files.values())) > _BROAD)
    return sections


def _title(name: str) -> str:
    """Return a heading for the name of a figure.

    Example:
        >>> _title("stage-1-kind/confusion-1-kind"), _title("uncalibrated/confusion-2-species")
        ('After stage 1, kind: confusions, kind', 'Before calibration: confusions, species')
    """
    if name in _TITLES:
        return _TITLES[name]
    within, _, last = name.rpartition("/")
    last = re.sub(r"^confusion-\d+-", "confusions, ", last)
    within = re.sub(r"^stage-(\d+)-", r"After stage \1, ", within).replace("uncalibrated", "Before calibration")
    title = f"{within}: {last}" if within else last
    return title[0].upper() + title[1:]


def _natural(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _width(file: Path) -> int:
    with Image.open(file) as picture:
        return picture.width


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _comparison(runs: Sequence[Run]) -> str:
    """Return a picture of all runs under the distortions that they share, or nothing where there are none."""
    tested = [run for run in runs if run.tests]
    conditions = [[(test["name"], test["strength"]) for test in run.tests] for run in tested]
    levels = [run.summary["levels"] for run in tested]
    if len(tested) < 2 or conditions.count(conditions[0]) < len(tested) or levels.count(levels[0]) < len(tested):
        return ""
    from nested_lightning.callbacks.run_figures import compared_distortions
    from nested_lightning.figures.style import rendered

    buffer = BytesIO()
    rendered(compared_distortions({run.name: run.tests for run in tested}, levels[0])).save(buffer, format="png")
    return _address(buffer.getvalue())
