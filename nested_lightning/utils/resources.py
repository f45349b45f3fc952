"""Where the recipes and taxonomies are that come with the package, and the command that shows and copies them."""

import shutil
from pathlib import Path

from nested_lightning.errors import ConfigurationError, suggestion

_PACKAGE = Path(__file__).parents[1]
_ROOTS = (_PACKAGE / "resources", _PACKAGE.parent)
"""A wheel keeps the folders inside the package, a checkout beside it."""
_FOLDERS = ("recipes", "taxonomies")


def shipped() -> dict[str, Path]:
    """Return the files that come with the package by the names that recipes and commands know them by.

    Example:
        >>> "taxonomies/mnist.yaml" in shipped()
        True
    """
    root = next((root for root in _ROOTS if (root / _FOLDERS[0]).is_dir()), _ROOTS[0])
    files = [path for folder in _FOLDERS for path in sorted((root / folder).rglob("*.yaml"))]
    return {path.relative_to(root).as_posix(): path for path in files}


def resource(path: str | Path) -> Path:
    """Return the file that ``path`` means: one of the user's, or else one that comes with the package.

    Args:
        path: absolute, relative to the working directory, or the name of a file that comes with the package,
            such as ``"taxonomies/mnist.yaml"``.

    Raises:
        ConfigurationError: there is no such file; names the places looked at and the nearest names.

    Example:
        >>> resource(__file__) == Path(__file__)
        True
    """
    own, files = Path(path).expanduser(), shipped()
    if own.is_file():
        return own
    if own.as_posix() in files:
        return files[own.as_posix()]
    raise ConfigurationError(
        f"file {str(path)!r} does not exist, neither from the working directory {Path.cwd()} nor among "
        f"those that come with nested_lightning.{suggestion(str(path), files)} Give the path of an existing "
        "file"
    )


def recipes_command(args: list[str]) -> None:
    """Run ``recipes list``, which tells what there is, or ``recipes copy DEST``, which copies it to change it.

    Raises:
        ConfigurationError: the arguments are neither, or a file in DEST would be overwritten.
    """
    match args:
        case ["list"]:
            width = max(map(len, shipped()))
            for name, path in shipped().items():
                print(f"{name:{width}}  {path.read_text(encoding='utf-8').partition(chr(10))[0].lstrip('# ')}")
        case ["copy", destination] if not destination.startswith("-"):
            _copy(Path(destination).expanduser())
        case _:
            raise ConfigurationError(
                f"expected 'recipes list', or 'recipes copy DEST' with a folder DEST, got "
                f"{' '.join(['recipes', *args])!r}"
            )


def _copy(destination: Path) -> None:
    files = shipped()
    if there := [name for name in files if (destination / name).exists()]:
        raise ConfigurationError(
            f"{destination / there[0]} exists, and would be overwritten: choose another folder, or move it away"
        )
    for name, path in files.items():
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, destination / name)
    print(f"{len(files)} files copied to {destination.absolute()}. Commands started in it use them first.")
