"""What the tests of faults share: a server that forks runs, and runs that nothing has befallen."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.runs import Run, same
from helpers.killed_run import Server


class Whole(NamedTuple):
    """An undisturbed run."""

    moments: dict[str, int]
    result: dict[str, Any]


def _whole(server: Server, folder: Path, processes: int) -> Whole:
    first, second = (Run(server, folder / name, processes=processes) for name in ("first", "second"))
    first.moments()
    moments = second.moments()  # the first takes longer
    assert same(first.result(), second.result()), "two runs of the same seed differ"
    return Whole(moments, second.result())


@pytest.fixture(scope="session")
def one(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run of one process."""
    return _whole(server, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="session")
def two(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run of two processes."""
    return _whole(server, tmp_path_factory.mktemp("two"), 2)
