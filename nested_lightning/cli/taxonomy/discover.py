"""``lightning taxonomy discover``: a taxonomy where there is none yet (Sec. D)."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from nested_lightning.cli.taxonomy.output import add_output_options, prepare, write

if TYPE_CHECKING:
    from nested_lightning.discovery import Discovery


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("source", metavar="SOURCE", help="hub id, folder or file; its split train is used")
    parser.add_argument(
        "--groups", required=True, nargs="+", type=int, metavar="N", help="groups per level in all, coarse to fine: 2 4"
    )
    parser.add_argument("--slack", type=int, default=0, metavar="N", help="members more or less than an even share (0)")
    parser.add_argument("--label_column", default="label", metavar="NAME", help="column of the finest labels (label)")
    parser.add_argument("--input_column", metavar="NAME", help="images, numbers or text (the only image column)")
    parser.add_argument("--image_size", type=int, default=32, metavar="N", help="side images are resized to (32)")
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="rows used, evenly from classes (20000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of rows and the classifier (0)")
    parser.add_argument("--compare", metavar="FILE", help="a taxonomy to be measured by the same classifier")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="the confusions as a figure (OUTPUT.png)")
    add_output_options(parser)


def run(options: Namespace) -> None:
    """Find a taxonomy; write it and the picture of the confusions."""
    from nested_lightning.data.labelled import load_taxonomy
    from nested_lightning.discovery import confusion, discover, labelled_rows, level_names, off_diagonal_masses

    picture = options.picture or options.output.with_suffix(".png")
    prepare(options, [options.output, picture])
    other = None if options.compare is None else load_taxonomy(options.compare)
    inputs, labels = labelled_rows(
        options.source, options.label_column, options.input_column, options.image_size, options.rows, options.seed
    )
    level_names(len(set(labels)), options.groups, options.levels, options.slack)  # refused before the long part
    names, matrix = confusion(inputs, labels, options.seed)
    found = discover(names, matrix, options.groups, options.levels, options.slack, options.seed)
    write(found.taxonomy, options.output)
    _draw(found, picture)
    print(f"\nrows answered with a class of another group, of {len(labels)} held out in turn:")
    print(_masses(found.taxonomy.levels, found.masses))
    if other is not None:
        print(f"the same for {options.compare}:")
        print(_masses(other.levels, off_diagonal_masses(other, names, matrix)))


def _masses(levels: tuple[str, ...], masses: tuple[float, ...]) -> str:
    width = max(map(len, levels))
    return "\n".join(f"  {level:{width}}  {100 * mass:6.2f} %" for level, mass in zip(levels, masses, strict=True))


def _draw(found: "Discovery", picture: Path) -> None:
    from nested_lightning.errors import ConfigurationError
    from nested_lightning.figures import plot_confusion

    figure, _ = plot_confusion(found.matrix, found.labels, found.sizes)
    try:
        figure.savefig(picture, dpi=150 if len(found.labels) > 40 else 100, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the picture {picture} cannot be written ({error}): choose another") from error
    print(f"picture in {picture}")
