"""Write ``docs/results.md`` from the JSON files alone."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.paper.commands import Differences
from benchmarks.paper.markdown import format_difference, format_rows, format_table
from benchmarks.paper.result import Result
from benchmarks.paper.significance import confidence_interval
from benchmarks.paper.tables import COMMANDS
from benchmarks.paper.training import read
from nested_lightning.utils.files import replacing

HEAD = """# Results

Does nesting help, and when? Every table and figure on this page comes from the command named with it;
`python -m benchmarks.paper report` writes the page from the files in `benchmarks/results`. Values are in %, mean ±
standard deviation over seeds, accuracy / mean confidence. In parentheses: the paper's value and the verdict on ours,
accuracy / gap between confidence and accuracy. "Within spread": the difference is at most twice our standard deviation,
or 0.5 points.
"""
SUMMARY = (
    "Nested minus baseline in points of accuracy, with the 95 % t-interval of the differences paired over seeds, "
    "uncorrected for the number of comparisons; bold: significant, as the interval excludes 0."
)
PICTURES = "figures"


def read_results(folder: Path) -> dict[str, Result]:
    """Return the results in ``folder``, in the order of the commands."""
    files = {name: folder / f"{name}.json" for name in COMMANDS}
    return {name: Result.from_dict(read(file)) for name, file in files.items() if file.exists()}


def write_report(folder: Path, path: Path) -> None:
    """Write the page of the results in ``folder``."""
    with replacing(path) as beside:
        Path(beside).write_text(format_page(read_results(folder)), encoding="utf-8")


def format_page(results: Mapping[str, Result]) -> str:
    """Return the page in Markdown."""
    sections = [_section(result) for result in results.values()]
    missing = [f"- `python -m benchmarks.paper {name}`" for name in COMMANDS if name not in results]
    if missing:
        sections.append("\n".join(["## Not run yet, or data not available", "", *missing, ""]))
    return "\n".join([HEAD, summarise(results) + "\n", *sections])


def summarise(results: Mapping[str, Result]) -> str:
    """Return where the nested model is better or worse than a baseline, by how much, and how significant that is."""
    parts = [SUMMARY]
    for name, result in results.items():
        command = COMMANDS[name]
        if command.differences is not None:
            title, table = command.differences(command.dataset, result)
            n = len(result.seeds)
            seeds = f"{n} seeds" if n > 1 else "1 seed, so nothing is significant"
            columns = list(next(iter(table.values())))
            rows = [[name, *(format_difference(row[column]) for column in columns)] for name, row in table.items()]
            parts += [f"**{title}** ({seeds}): {_count(table)}", format_rows(["baseline", *columns], rows)]
    return "\n\n".join(parts)


def _count(table: Differences) -> str:
    """Return in how many comparisons the difference is significant, and in which."""
    intervals = {
        f"{name}: {column}": confidence_interval(cell) for name, row in table.items() for column, cell in row.items()
    }
    better, worse = ([name for name, (m, half) in intervals.items() if sign * m > half] for sign in (1, -1))
    total = f"{len(intervals)} comparisons"
    return (
        f"nested is significantly better in {len(better)} of {total}{_list(better)}, "
        f"significantly worse in {len(worse)}{_list(worse)}."
    )


def _list(comparisons: Sequence[str]) -> str:
    return f" ({'; '.join(comparisons)})" if comparisons else ""


def _section(result: Result) -> str:
    parts = [f"## {result.title}", f"`python -m benchmarks.paper {result.name}{_seeds(result)}`; {_made(result)}."]
    parts += [f"![{result.title}]({PICTURES}/{picture}.png)" for picture in result.pictures]
    if result.rows:
        parts.append(format_table(result))
    parts += [" ".join(note.split()) for note in result.notes]
    return "\n\n".join(parts) + "\n"


def _seeds(result: Result) -> str:
    seeds = result.seeds
    number = f" --seeds {len(seeds)}" if seeds and len(seeds) != COMMANDS[result.name].n_seeds else ""
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
