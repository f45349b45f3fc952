"""Figure 5: accuracy over the epochs of cascaded and traditional training."""

from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.curves import draw_curves
from benchmarks.paper.finished import provenance
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace

VARIANTS = {"cascaded": "nested", "traditional": "traditional"}
LEVELS = ("coarse", "middle", "fine")


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return the runs of the figure."""
    return [Experiment("mnist", variant, seed) for seed in seeds for variant in VARIANTS.values()]


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture, drawn of the runs' own logs."""
    folders = {
        called: [Experiment("mnist", variant, seed).folder(workspace.runs) for seed in seeds]
        for called, variant in VARIANTS.items()
    }
    title = "Figure 5: MNIST, accuracy on the validation rows during training"
    notes = ["An epoch of a cascaded stage has 6,000 rows, one of traditional training 18,000."]
    runs, versions = provenance(needs(name, seeds), workspace)
    pictures = {name: draw_curves(folders, LEVELS)}
    return Result(name, title, seeds, [], [], runs, versions, notes, pictures=pictures)
