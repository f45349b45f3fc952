"""The command ``recipes``: list and copy the recipes and taxonomies that come with the package."""

import shutil
from pathlib import Path

from nested_lightning.cli.parser import run_command
from nested_lightning.errors import ConfigurationError, WriteError
from nested_lightning.utils.files import replacing
from nested_lightning.utils.resources import shipped

_DESCRIPTION = "Recipes and taxonomies that come with the package: 'recipes list' and 'recipes copy DEST'."


def recipes_command(args: list[str]) -> None:
    """Run ``recipes list`` or ``recipes copy DEST``.

    Raises:
        ConfigurationError: an argument is wrong, or a file in DEST would be overwritten.
        SystemExit: after ``--help``.
    """
    run_command({"list": list_recipes, "copy": copy_recipes}, args, "nested-lightning recipes", _DESCRIPTION)


def list_recipes() -> None:
    """Print the name of every recipe and taxonomy, and what it is for."""
    width = max(map(len, shipped()))
    for name, path in shipped().items():
        print(f"{name:{width}}  {path.read_text(encoding='utf-8').partition(chr(10))[0].lstrip('# ')}")


def copy_recipes(dest: Path) -> None:
    """Copy all recipes and taxonomies into a folder, to change them there.

    Args:
        dest: the folder; nothing in it is overwritten
    """
    files, folder = shipped(), dest.expanduser()
    if existing := [name for name in files if (folder / name).exists()]:
        raise ConfigurationError(
            f"{folder / existing[0]} exists and would be overwritten: choose another folder, or move it away"
        )
    written: list[Path] = []
    try:
        for name, path in files.items():
            with replacing(folder / name, "choose another folder") as temporary:
                shutil.copyfile(path, temporary)
            written.append(folder / name)
    except WriteError:
        for path in written:  # they would be in the way of the next try
            path.unlink(missing_ok=True)
        raise
    print(f"{len(files)} files copied to {folder.absolute()}. Commands run in that folder use them first.")
