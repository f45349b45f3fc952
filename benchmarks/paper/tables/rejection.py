"""Figure C.4: what a rejection class does, in one dimension; nothing of the runs is needed."""

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.rejection import draw_rejection
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace, versions


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return nothing."""
    return []


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture."""
    title = "Figure C.4: a rejection class in one dimension"
    pictures = {name: draw_rejection(seeds[0])}
    return Result(name, title, seeds[:1], [], [], {}, versions(), pictures=pictures)
