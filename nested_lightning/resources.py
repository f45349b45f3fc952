"""Where the recipes and taxonomies are that come with the package."""

from pathlib import Path

from nested_lightning.errors import ConfigurationError, suggestion

_PACKAGE = Path(__file__).parent
_ROOTS = (_PACKAGE.parent, _PACKAGE / "resources")
"""A checkout keeps the folders beside the package, a wheel inside it."""
_FOLDERS = ("recipes", "taxonomies")


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
    own = Path(path).expanduser()
    if own.is_file():
        return own
    shipped = [root / own for root in _ROOTS] if not own.is_absolute() else []
    for candidate in shipped:
        if candidate.is_file():
            return candidate
    known = [
        str(p.relative_to(root)) for root in _ROOTS for f in _FOLDERS for p in (root / f).glob("**/*.yaml")
    ]
    raise ConfigurationError(
        f"file {str(path)!r} does not exist, neither from the working directory {Path.cwd()} nor among "
        f"those that come with nested_lightning.{suggestion(str(path), known)} Give the path of an existing "
        "file"
    )
