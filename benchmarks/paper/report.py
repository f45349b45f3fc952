"""``docs/results.md``, made of the JSON files alone."""

import os
import statistics
from pathlib import Path

from benchmarks.paper.answer import answer
from benchmarks.paper.commands import COMMANDS
from benchmarks.paper.markdown import table
from benchmarks.paper.result import Result
from benchmarks.paper.training import read

HEAD = """# Results

Does nesting help, and when? Every figure on this page comes from one command, named with it; the page itself is made
by `python -m benchmarks.paper report` of the files in `benchmarks/results`. Figures are in %, mean ± standard deviation
over seeds, accuracy / mean confidence. In parentheses: the paper's figure and the verdict on ours, accuracy / gap
between confidence and accuracy. "Within spread": the difference is at most twice our standard deviation, or 0.5 points.

"""
PICTURES = "figures"


def read_results(folder: Path) -> dict[str, Result]:
    """Return the results there are, in the order of the commands."""
    files = {name: folder / f"{name}.json" for name in COMMANDS}
    return {name: Result.from_dict(read(file)) for name, file in files.items() if file.exists()}


def report(results: dict[str, Result]) -> str:
    """Return the page."""
    sections = [_section(result) for result in results.values()]
    missing = [f"- `python -m benchmarks.paper {name}`" for name in COMMANDS if name not in results]
    if missing:
        sections.append("\n".join(["## Not run yet, or not for want of data", "", *missing, ""]))
    return HEAD + answer(results) + "\n\n" + "\n".join(sections)


def write_report(folder: Path, path: Path) -> None:
    """Write the page of the results in ``folder``."""
    beside = path.with_suffix(".tmp")
    beside.write_text(report(read_results(folder)), encoding="utf-8")
    os.replace(beside, path)


def _section(result: Result) -> str:
    parts = [f"## {result.title}", f"`python -m benchmarks.paper {result.name}{_seeds(result)}`; {_made(result)}."]
    parts += [f"![{result.title}]({PICTURES}/{picture}.png)" for picture in result.pictures]
    if result.rows:
        parts.append(table(result))
    parts += [" ".join(note.split()) for note in result.notes]
    return "\n\n".join(parts) + "\n"


def _seeds(result: Result) -> str:
    seeds = result.seeds
    number = f" --seeds {len(seeds)}" if seeds and len(seeds) != COMMANDS[result.name].seeds else ""
    return number + (f" --first_seed {seeds[0]}" if seeds and seeds[0] > 1 else "")


def _made(result: Result) -> str:
    made = [f"seeds {', '.join(map(str, result.seeds))}"] if result.seeds else []
    seconds = [s for run in result.runs.values() for s in run["seconds"] if s is not None]
    if seconds:
        devices = " and ".join(sorted({device for run in result.runs.values() for device in run["devices"]}))
        minutes = statistics.mean(seconds) / 60
        made.append(f"{len(seconds)} runs of {minutes:.0f} minutes on average, one thread each, on {devices}")
    versions = {name: result.versions[name] for name in ("torch", "lightning") if name in result.versions}
    return "; ".join([*made, ", ".join(f"{name} {version}" for name, version in versions.items())])
