"""What a fitted method is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks.peers.rows import Indices

GRID = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The values of C that are tried on the validation rows."""

Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Fitted:
    """A method ready to answer.

    Attributes:
        answer: from texts to class indices int64 [N, n_levels].
        seconds: wall time of fitting, the choice of settings included.
        settings: what was chosen, for the report.
    """

    answer: Callable[[list[str]], Indices]
    seconds: float
    settings: dict[str, Any]


def best(fit: Callable[[float], Candidate], accuracy: Callable[[Candidate], float]) -> tuple[Candidate, float]:
    """Return what is best on the validation rows among the values of C, and its C; the smaller C where equal."""
    chosen, found = GRID[0], fit(GRID[0])
    highest = accuracy(found)
    for c in GRID[1:]:
        candidate = fit(c)
        if (right := accuracy(candidate)) > highest:
            chosen, found, highest = c, candidate, right
        del candidate  # machines of many words and classes take a gigabyte each
    return found, chosen


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return time.perf_counter() - self._start
