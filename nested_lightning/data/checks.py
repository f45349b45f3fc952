"""Checks of the data module's arguments."""

from collections.abc import Iterable, Sequence

from nested_lightning.errors import ConfigurationError


def within(name: str, value: int, least: int, most: int = 2**31 - 1) -> int:
    """Return the value of the option ``data.NAME``.

    Raises:
        ConfigurationError: it is below ``least`` or above ``most``, which is what fits an index.
    """
    if not least <= value <= most:
        bound = f"at least {least}" if value < least else f"at most {most}"
        raise ConfigurationError(f"data.{name} must be {bound}, got {value}")
    return value


def height_and_width(size: int | list[int] | None) -> tuple[int, int] | None:
    """Return ``data.image_size`` as height and width, None where images keep their size.

    Raises:
        ConfigurationError: it is neither one positive number nor two.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size or ())
    if size is None or (len(sides) == 2 and min(sides) > 0):
        return sides or None  # type: ignore[return-value]
    raise ConfigurationError(f"data.image_size must be one positive number, or height and width; got {size}")


def refuse_taken_names(distortions: Iterable[str], levels: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` unless figures under the names of ``data.distortions`` can be told from others."""
    for name in distortions:
        if not name or "/" in name or name in (*levels, "path"):
            raise ConfigurationError(
                f"data.distortions has the name {name!r}, but figures are logged under test/{name}/...: choose a name "
                f"without a slash that is none of {', '.join([*levels, 'path'])}"
            )
