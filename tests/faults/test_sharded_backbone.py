"""A backbone that is split over two processes: the bits of ``ddp``, killed or not, and half the weights in each."""

from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import Moment, Run, same
from killed_run import Server

pytestmark = pytest.mark.slow

SPLIT = "--trainer.strategy=sharded_backbone"
STEP = "before [Callback]CascadeTraining.on_train_batch_start"


def test_the_bits_of_ddp(server: Server, two: Whole, tmp_path: Path) -> None:
    run = Run(server, tmp_path / "run", SPLIT, "--trainer.callbacks+=faults.parts.Parts", processes=2)
    assert same(run.finish(), two.result)
    whole, *parts = ([int(n) for n in (run.folder / f"{name}.txt").read_text().split()] for name in ("all", "0", "1"))
    assert [sum(each) for each in zip(*parts, strict=True)] == whole
    assert all(0.4 < part / n < 0.6 for part, n in zip(parts[0], whole, strict=True))


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        pytest.param(Moment(STEP, 18), SPLIT, id="within an epoch"),
        pytest.param(Moment(STEP, 31, rank=1), SPLIT, id="within an epoch, the other process"),
        pytest.param(Moment("before [Callback]TemperatureScaling.on_train_end"), SPLIT, id="in calibration"),
        pytest.param(Moment(STEP, 18), "--trainer.strategy=ddp", id="then whole in each process"),
    ],
)
def test_killed(server: Server, two: Whole, tmp_path: Path, moment: Moment, then: str) -> None:
    first = Run(server, tmp_path / "run", SPLIT, processes=2)
    first.strike(moment)
    assert "Traceback" not in first.log
    assert same(Run(server, tmp_path / "run", then, processes=2).finish(), two.result)


def test_validation_batches_that_do_not_divide(server: Server, tmp_path: Path) -> None:
    """203 rows: two batches of validation on one process, one on the other, which waits for nothing."""
    options = ["--data.validation=203", "--data.eval_batch_size=101"]
    whole = Run(server, tmp_path / "whole", *options, processes=2).finish()
    assert same(Run(server, tmp_path / "split", *options, SPLIT, processes=2).finish(), whole)


def test_a_run_in_two_goes_on_in_one(server: Server, tmp_path: Path) -> None:
    Run(server, tmp_path / "run", SPLIT, processes=2).strike(Moment(STEP, 18))
    result = Run(server, tmp_path / "run").finish()
    assert result["callbacks"]["CascadeTraining"]["finished"]
