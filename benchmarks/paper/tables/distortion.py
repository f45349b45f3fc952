"""Tables of accuracy and confidence on clean and distorted rows: 1, 5, 6, E.1, E.2."""

from benchmarks.paper.evaluation import PARTS
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.finished import evaluations, provenance
from benchmarks.paper.result import Cell, Result, Row, percent
from benchmarks.paper.tables.specifications import specifications
from benchmarks.paper.training import Workspace


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of a table."""
    table = specifications("distortions.yaml")[name]
    variants = dict.fromkeys(row[1] for row in table["rows"])
    return [Experiment(table["dataset"], variant, seed) for seed in seeds for variant in variants]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return a table from its finished runs."""
    table = specifications("distortions.yaml")[name]
    rows = []
    for label, variant, state, level, *paper in table["rows"]:
        measured = [e[state] for e in evaluations(table["dataset"], variant, seeds, workspace)]
        figures = [[float(x) for x in cell.split("/")] for cell in "".join(paper).split()]
        cells: list[Cell | None] = []
        for i, part in enumerate(PARTS):
            accuracy, confidence = (
                percent([m[part][f"{level}/{name}"] for m in measured]) for name in ("accuracy", "confidence")
            )
            cells.append(Cell(accuracy, confidence, figures[i] if figures else []))
        rows.append(Row(label, cells))
    columns = ["Original", *(f"Distortion {i}" for i in range(1, len(PARTS)))]
    notes = table.get("notes", [])
    return Result(name, table["title"], seeds, columns, rows, *provenance(needs(name, seeds), workspace), notes)
