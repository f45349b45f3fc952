"""Show the progress of long work: a bar on a terminal, and nothing that would fill a log file."""

import math
import sys
from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def on_terminal() -> bool:
    """Return whether standard output is a terminal that can redraw a line."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


def tracked(steps: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Yield ``steps``; on a terminal, show a bar and the remaining time until the end.

    Example:
        >>> list(tracked("ab", 2, "letters"))
        ['a', 'b']
    """
    return track(steps, description, total=total, transient=True, disable=not on_terminal())


def duration(seconds: float) -> str:
    """Return a length of time in words, rounded up.

    Example:
        >>> duration(8.4), duration(150), duration(3700)
        ('9 s', '3 min', '1 h 2 min')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
