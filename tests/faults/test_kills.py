"""A run that was killed at any moment, and started again, is bit by bit the run that was not."""

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import Moment, Run, draw, same
from killed_run import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Rows of the table that is printed at the end."""
    rows: list[str] = []
    yield rows
    print("\n\n| processes | seed | killed | went on |\n|---|---|---|---|")
    print("\n".join(rows))
    print(f"\n{len(rows)} kills")


def kill(run: Run, moment: Moment, table: list[str], seed: int) -> bool:
    """Kill a run at a moment; return whether it was still running then."""
    codes, _ = run.strike(moment)
    if codes == [0] * run.processes:
        return False
    assert codes[moment.rank] == -9, run.log
    table.append(f"| {run.processes} | {seed} | {moment} | {run.place} |")
    return True


def check(server: Server, folder: Path, whole: Whole, table: list[str], seed: int, processes: int) -> None:
    """Kill a run once, half of the runs twice; compare."""
    chance = random.Random(seed)
    for attempt in count():
        run = Run(server, folder / str(attempt), processes=processes)
        if kill(run, draw(whole.moments, chance, processes), table, seed):
            break
    if chance.random() < 0.5:
        kill(run, draw(whole.moments, chance, processes), table, seed)
    result = run.finish()
    # Between the checkpoint at the end of an epoch and the row that Lightning then logs, the row may be lost.
    lost = whole.result["rows"] - result["rows"]
    assert len(lost) <= 1 and all("train/loss" in dict(row) for row in lost)
    result["rows"] |= lost
    assert same(result, whole.result)
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["final.ckpt", "last.ckpt"]


@pytest.mark.parametrize("seed", range(50))
def test_one_process(server: Server, one: Whole, tmp_path: Path, table: list[str], seed: int) -> None:
    check(server, tmp_path, one, table, seed, 1)


@pytest.mark.parametrize("seed", range(20))
def test_two_processes(server: Server, two: Whole, tmp_path: Path, table: list[str], seed: int) -> None:
    check(server, tmp_path, two, table, seed, 2)
