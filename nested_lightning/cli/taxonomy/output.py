"""Where a new taxonomy is written."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy import Taxonomy


def add_output_options(parser: ArgumentParser) -> None:
    """Add what all commands have that write a taxonomy."""
    parser.add_argument("--levels", nargs="+", metavar="NAME", help="names of the levels, coarse to fine")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the YAML file to write")
    parser.add_argument("--overwrite", action="store_true", help="write over files that exist")


def prepare(options: Namespace, files: Sequence[Path]) -> None:
    """Make the folders of files to be written, before the work begins.

    Raises:
        ConfigurationError: a file exists and ``--overwrite`` is not given, or a folder cannot be made.
    """
    for file in files:
        if file.is_dir() or (file.exists() and not options.overwrite):
            remedy = "name a file in it" if file.is_dir() else "choose another file, or add --overwrite"
            raise ConfigurationError(f"{file} exists, and would be overwritten: {remedy}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"folder {file.parent} cannot be made ({error.strerror}): choose another"
            ) from error


def write(taxonomy: Taxonomy, file: Path) -> None:
    """Write the taxonomy and print its tree.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        taxonomy.to_yaml(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}): choose another --output") from error
    print(taxonomy.show())
    print(f"written to {file}")
