"""``lightning taxonomy discover``: find a taxonomy where there is none yet (Sec. D)."""

from pathlib import Path

from nested_lightning import discovery
from nested_lightning.cli.taxonomy.build import prepare, write
from nested_lightning.data.labels import load_taxonomy
from nested_lightning.data.reading import READING, ReadOptions
from nested_lightning.errors import ConfigurationError


def discover(
    source: str,
    *,
    groups: list[int],
    output: Path,
    slack: int = 0,
    label_column: str = "label",
    input_column: str | None = None,
    image_size: int = 32,
    rows: int = 20_000,
    seed: int = 0,
    compare: str | None = None,
    picture: Path | None = None,
    levels: list[str] | None = None,
    overwrite: bool = False,
    reading: ReadOptions = READING,
) -> None:
    """Group the labels of a source that a shallow classifier confuses.

    Args:
        source: hub id, folder or file; its split train is used.
        groups: total number of groups per level, coarse to fine, as in 2 4.
        output: the YAML file to write.
        slack: how many members more or fewer than an even share a group may have.
        label_column: column of the finest labels.
        input_column: images, numbers or text (the only image column).
        image_size: side to resize images to.
        rows: maximum number of rows to use, evenly from the classes.
        seed: of the choice of rows and the classifier.
        compare: another taxonomy to measure with the same classifier.
        picture: file of the plot of the confusions (OUTPUT.png).
        levels: names of the levels, coarse to fine.
        overwrite: overwrite existing files.
        reading: how to read the source.
    """
    picture = picture or output.with_suffix(".png")
    prepare(output, picture, overwrite=overwrite)
    other = None if compare is None else load_taxonomy(compare)
    inputs, labels = discovery.labelled_rows(source, label_column, input_column, image_size, rows, seed, reading)
    discovery.level_names(len(set(labels)), groups, levels, slack)  # raises before the classifier is trained
    names, matrix = discovery.confusion(inputs, labels, seed)
    found = discovery.discover(names, matrix, groups, levels, slack, seed)
    write(found.taxonomy, output)
    _draw(found, picture)
    print(f"\nrows predicted as a class of another group, of {len(labels)} held out in turn:")
    _print_masses(found.taxonomy.levels, found.masses)
    if other is not None:
        print(f"the same for {compare}:")
        _print_masses(other.levels, discovery.off_diagonal_masses(other, names, matrix))


def _print_masses(levels: tuple[str, ...], masses: tuple[float, ...]) -> None:
    for level, mass in zip(levels, masses, strict=True):
        print(f"  {level:{max(map(len, levels))}}  {100 * mass:6.2f} %")


def _draw(found: discovery.Discovery, picture: Path) -> None:
    from nested_lightning.figures import plot_confusion

    figure, _ = plot_confusion(found.matrix, found.labels, found.sizes)
    try:
        figure.savefig(picture, dpi=150 if len(found.labels) > 40 else 100, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the picture {picture} cannot be written ({error}): choose another") from error
    print(f"picture in {picture}")
