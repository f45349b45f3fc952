"""Undisturbed runs, to compare with those that were killed."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.runs import Run
from helpers.killed_run import Server
from helpers.witnesses import same


class Whole(NamedTuple):
    """How often each moment of an undisturbed run occurs, and its result."""

    moments: dict[str, int]
    result: dict[str, Any]


def _whole(server: Server, folder: Path, processes: int) -> Whole:
    first, second = (Run(server, folder / name, processes=processes) for name in ("first", "second"))
    first.moments()
    moments = second.moments()  # of the second: the first one also imports what it needs
    assert same(first.result(), second.result()), "two runs of the same seed differ"
    return Whole(moments, second.result())


@pytest.fixture(scope="session")
def one(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return an undisturbed run of one process."""
    return _whole(server, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="session")
def two(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return an undisturbed run of two processes."""
    return _whole(server, tmp_path_factory.mktemp("two"), 2)
