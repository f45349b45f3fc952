"""The exceptions that a user's mistake can raise, with one message that names the place and the remedy.

The command line prints only the message and exits with code 2; in Python they are ordinary exceptions.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest

_MOST_COMPARED = 200


class NestedLightningError(Exception):
    """Base class of the exceptions of this package."""


class ConfigurationError(NestedLightningError, ValueError):
    """An option, argument or combination of them cannot be used."""


class TaxonomyError(NestedLightningError, ValueError):
    """The tree of labels is not a taxonomy, or a label does not fit it."""


class DataError(NestedLightningError, ValueError):
    """A source, column, row or label of the data cannot be used."""


class BudgetError(DataError):
    """The budgets do not fit the levels or the samples."""


class CheckpointError(NestedLightningError, ValueError):
    """A checkpoint cannot be read, or belongs to another model, taxonomy or run."""


class WriteError(NestedLightningError, RuntimeError):
    """A file of the run cannot be written."""


class CalibrationError(NestedLightningError, RuntimeError):
    """Calibration is impossible, or has not been run."""


class NonFiniteError(NestedLightningError, FloatingPointError):
    """An input or a loss is NaN or infinite."""


def mistake_behind(error: BaseException | None, *others: type[BaseException]) -> BaseException | None:
    """Return the user's mistake that caused an exception, or None; jsonargparse wraps errors of the classes it builds.

    Args:
        error: the exception, or None.
        others: exceptions of libraries that also count as a user's mistake.
    """
    while error is not None and not isinstance(error, (NestedLightningError, *others)):
        error = error.__cause__
    return error


def suggestion(name: str, known: Iterable[str], n: int = 3) -> str:
    """Return ``" Did you mean 'x' or 'y'?"`` for the ``n`` known names nearest to ``name``, or ``""``.

    Example:
        >>> suggestion("patiense", ["patience", "max_epochs"])
        " Did you mean 'patience'?"
        >>> suggestion("zzz", ["patience"])
        ''
    """
    names = list(dict.fromkeys(map(str, known)))
    if len(names) > _MOST_COMPARED:  # comparing thousands of names takes seconds
        pairs = _pairs(str(name))
        names = nlargest(_MOST_COMPARED, names, lambda other: len(pairs & (own := _pairs(other))) / (len(own) or 1))
    near = get_close_matches(str(name), names, n=n, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""


def examples(names: Iterable[str], n: int = 3) -> str:
    """Return the first ``n`` names, with dots if there are more.

    Example:
        >>> examples(["a", "b"]), examples("abcd")
        ('a, b', 'a, b, c, ...')
    """
    listed = list(names)
    return ", ".join(listed[:n]) + ", ..." * (len(listed) > n)


def _pairs(text: str) -> set[str]:
    return {text[i : i + 2] for i in range(len(text) - 1)}
