"""Checks of arguments that the models share."""

from collections.abc import Sequence
from numbers import Integral

from nested_lightning.errors import ConfigurationError


def positive_integers(name: str, values: int | Sequence[int]) -> tuple[int, ...]:
    """Return one positive integer, or a sequence of them, as a tuple.

    Raises:
        ConfigurationError: there is none, or one is not a positive integer.

    Example:
        >>> positive_integers("sizes", [2, 4, 10])
        (2, 4, 10)
        >>> positive_integers("channels", 16)
        (16,)
    """
    numbers = tuple(values) if isinstance(values, Sequence) else (values,)
    if not numbers or not all(isinstance(n, Integral) and n > 0 for n in numbers):
        raise ConfigurationError(f"`{name}` must be one positive integer or several, got {values!r}.")
    return tuple(int(n) for n in numbers)
