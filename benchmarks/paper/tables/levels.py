"""Table 2: accuracy per level of three data sets, a command for each."""

from benchmarks.paper.evaluation import CLEAN
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.tables.specifications import specifications
from benchmarks.paper.training import Workspace


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of a table."""
    table = specifications("levels.yaml")[name]
    return [Experiment(table["dataset"], variant, seed) for seed in seeds for _, variant, _ in table["rows"]]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return a table from its finished runs."""
    table = specifications("levels.yaml")[name]
    rows = []
    for label, variant, paper in table["rows"]:
        measured = [e["calibrated"][CLEAN] for e in evaluations(table["dataset"], variant, seeds, workspace)]
        cells: list[Cell | None] = [
            Cell(percent([m[f"{level}/accuracy"] for m in measured]), [], [float(figure)])
            for level, figure in zip(table["levels"], paper.split(), strict=True)
        ]
        rows.append(Row(label, cells))
    runs, versions = provenance(needs(name, seeds), workspace)
    return Result(name, table["title"], seeds, table["levels"], rows, runs, versions, table.get("notes", []))
