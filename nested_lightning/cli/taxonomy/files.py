"""Write new taxonomies and pictures, but not over existing files."""

from pathlib import Path

from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy import Taxonomy


def prepare(*files: Path, overwrite: bool) -> None:
    """Create the folders of files to be written, before the work begins.

    Raises:
        ConfigurationError: a file exists and must not be overwritten, or a folder cannot be created.
    """
    for file in files:
        if file.is_dir() or (file.exists() and not overwrite):
            remedy = "name a file in it" if file.is_dir() else "choose another file, or add --overwrite"
            raise ConfigurationError(f"{file} exists, and would be overwritten: {remedy}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"folder {file.parent} cannot be created ({error.strerror}): choose another"
            ) from error


def write(taxonomy: Taxonomy, file: Path) -> None:
    """Write a taxonomy and print its tree.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        taxonomy.to_yaml(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}): choose another --output") from error
    print(taxonomy.show())
    print(f"written to {file}")
