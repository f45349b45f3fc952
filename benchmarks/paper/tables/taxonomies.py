"""Figure D.1: trees discovered in the confusions of a shallow classifier, and those of the authors."""

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.paper.commands import Runs, figure
from benchmarks.paper.result import Cell, Result, Row, percent
from nested_lightning import Taxonomy
from nested_lightning.discovery import confusion, discover, labelled_rows
from nested_lightning.discovery.affinity import off_diagonal_masses
from nested_lightning.figures import plot_confusion

ROOT = Path(__file__).parents[3]
SAMPLES = 10_000
DATASETS = {
    "mnist": ("MNIST", "image", [2, 4], 0),
    "fashion_mnist": ("Fashion-MNIST", "image", [2, 4], 0),
    "cifar10": ("CIFAR-10", "img", [2, 5], 1),
}
"""Title, column of the images, and the numbers of groups in the authors' tree, which may differ by the last number."""


@figure("figureD1", seeds=3)
def compare_trees(runs: Runs) -> Result:
    """Return the share of samples predicted outside their group, and a picture of the first seed's trees."""
    drawing = Figure(figsize=(15, 5.2), layout="constrained")
    rows = []
    axes = drawing.subplots(1, len(DATASETS))
    for (dataset, (name, column, groups, slack)), ax in zip(DATASETS.items(), axes, strict=True):
        authors = Taxonomy.from_yaml(ROOT / "taxonomies" / f"{dataset}.yaml")
        masses: list[tuple[float, ...]] = []
        for seed in runs.seeds:
            source = str(runs.workspace.data / dataset)
            inputs, labels = labelled_rows(source, input_column=column, rows=SAMPLES, seed=seed)
            names, matrix = confusion(inputs, labels, seed)
            found = discover(names, matrix, groups, slack=slack, seed=seed)
            masses.append((*found.masses, *off_diagonal_masses(authors, names, matrix)))
            if seed == runs.seeds[0]:
                plot_confusion(found.matrix, found.labels, found.sizes, ax)
                ax.set_title(name)
        shares = [percent(column) for column in zip(*masses, strict=True)]
        rows.append(Row(name, [Cell(shares[i]) for i in (0, 3, 1, 4)]))
    return Result(
        title="Figure D.1: share of rows answered with a class of another group, tree found and tree of the authors",
        columns=["coarse, found", "coarse, authors'", "middle, found", "middle, authors'"],
        rows=rows,
        notes=[
            "10,000 training samples, drawn again for each seed; the picture shows the first seed. Lower is better."
        ],
        pictures={runs.name: drawing},
    )
