"""Figure F.1: digits under the four distortions; nothing is trained."""

from benchmarks.paper.evaluation import DISTORTIONS, all_rows
from benchmarks.paper.experiments import Experiment
from benchmarks.paper.figures.distortions import draw_distortions
from benchmarks.paper.result import Result
from benchmarks.paper.training import Workspace, versions
from nested_lightning import HierarchicalDataModule
from nested_lightning.transforms import Turbulence


def needs(name: str, seeds: list[int]) -> list[Experiment]:
    """Return nothing."""
    return []


def build(name: str, seeds: list[int], workspace: Workspace) -> Result:
    """Return the picture: the first test row of each digit."""
    distortions = {called: Turbulence(**options["init_args"]) for called, options in DISTORTIONS.items()}
    source = str(workspace.data / "mnist")
    data = HierarchicalDataModule(source, "taxonomies/mnist.yaml", distortions=distortions, seed=seeds[0])
    data.setup("test")
    columns = [all_rows(loader) for loader in data.test_dataloader()]
    target, names = columns[0][1][:, -1], data.taxonomy.names(data.taxonomy.n_levels - 1)
    first = [int((target == k).nonzero()[0]) for k in range(len(names))]
    titles = ["original", *(called.replace("_", " ") for called in distortions)]
    images = {title: column[0][first] for title, column in zip(titles, columns, strict=True)}
    notes = ["(S, T) = (1, 0.8), (1, 1), (1, 1.3), (1, 1.5): smoothness of the field and its strength, in pixels."]
    pictures = {name: draw_distortions(images, names)}
    return Result(name, "Figure F.1: distortions", seeds[:1], [], [], {}, versions(), notes, pictures=pictures)
