"""Find the recipes and taxonomies that come with the package."""

from pathlib import Path

from nested_lightning.errors import ConfigurationError, suggestion

_PACKAGE = Path(__file__).parents[1]
_ROOTS = (_PACKAGE / "resources", _PACKAGE.parent)  # of a wheel, of a checkout
_FOLDERS = ("recipes", "taxonomies")


def shipped() -> dict[str, Path]:
    """Return the files that come with the package, by the names that recipes and commands use.

    Example:
        >>> "taxonomies/mnist.yaml" in shipped()
        True
    """
    root = next((root for root in _ROOTS if (root / _FOLDERS[0]).is_dir()), _ROOTS[0])
    files = [path for folder in _FOLDERS for path in sorted((root / folder).rglob("*.yaml"))]
    return {path.relative_to(root).as_posix(): path for path in files}


def resource(path: str | Path) -> Path:
    """Return the user's file at ``path``, or else the file of that name that comes with the package.

    Args:
        path: absolute, relative to the working directory, or the name of a file that comes with the package,
            such as ``"taxonomies/mnist.yaml"``.

    Raises:
        ConfigurationError: there is no such file.

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
        f"file {str(path)!r} does not exist, neither in the working directory {Path.cwd()} nor among the files that "
        f"come with nested_lightning.{suggestion(str(path), files)} Give the path of an existing file"
    )
