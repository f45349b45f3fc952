"""A run that is killed at any moment and resumed gives bit by bit the result of an undisturbed run."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from faults.conftest import Whole
from faults.runs import KINDS, Moment, Run, draw, kind_of
from helpers.killed_run import Server
from helpers.witnesses import same

pytestmark = pytest.mark.slow


class Kill(NamedTuple):
    """A kill, and the place from which the run resumed."""

    processes: int
    seed: int
    moment: Moment
    place: str


@pytest.fixture(scope="module")
def table() -> Iterator[list[Kill]]:
    """Collect every kill and print them all at the end."""
    kills: list[Kill] = []
    yield kills
    print("\n\n| processes | seed | killed | resumed from |\n|---|---|---|---|")
    for kill in kills:
        print(f"| {kill.processes} | {kill.seed} | {kill.moment} | {kill.place} |")
    print("\n| killed | one process | two processes |\n|---|---|---|")
    counts = Counter((kind_of(kill.moment.at), kill.processes) for kill in kills)
    for kind in KINDS:
        print(f"| {kind} | {counts[kind, 1]} | {counts[kind, 2]} |")


def strike(run: Run, moment: Moment, table: list[Kill], seed: int) -> bool:
    """Kill a run at a moment; return False if it had already ended."""
    codes, _ = run.strike(moment)
    if codes == [0] * run.processes:
        return False
    assert codes[moment.rank] == -9, run.log
    table.append(Kill(run.processes, seed, moment, run.place))
    return True


def check(server: Server, folder: Path, whole: Whole, table: list[Kill], seed: int, processes: int) -> None:
    """Kill a run once, half of the runs twice; resume it and compare the results."""
    chance = random.Random(seed)
    for attempt in count():
        run = Run(server, folder / str(attempt), processes=processes)
        if strike(run, draw(whole.moments, chance, processes), table, seed):
            break
    if chance.random() < 0.5:
        strike(run, draw(whole.moments, chance, processes), table, seed)
    result = run.finish()
    # Between the checkpoint at the end of an epoch and the row that Lightning then logs, the row may be lost.
    lost = whole.result["rows"] - result["rows"]
    assert len(lost) <= 1 and all("train/loss" in dict(row) for row in lost)
    result["rows"] |= lost
    assert same(result, whole.result)
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["final.ckpt", "last.ckpt"]


@pytest.mark.parametrize("seed", range(50))
def test_one_process(server: Server, one: Whole, tmp_path: Path, table: list[Kill], seed: int) -> None:
    check(server, tmp_path, one, table, seed, 1)


@pytest.mark.parametrize("seed", range(20))
def test_two_processes(server: Server, two: Whole, tmp_path: Path, table: list[Kill], seed: int) -> None:
    check(server, tmp_path, two, table, seed, 2)
