"""If the disk fills up, one error names it and no saved file is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.conftest import Whole
from faults.runs import Moment, Run
from helpers.killed_run import Server
from helpers.witnesses import same

pytestmark = pytest.mark.slow

# When the disk fills up, and which file the error must name.
MOMENTS = {
    "before the options are written": ("before [Callback]SaveRunConfig.on_train_start", 1, "config.yaml"),
    "before the first figures": ("before [Callback]RunCheckpoint.on_train_start", 1, "provenance.yaml"),
    "before a checkpoint": ("before torch.save", 3, "last.ckpt"),
    "within a checkpoint": ("within torch.save", 4, "last.ckpt"),
    "before the last row": ("before [Callback]Report.on_train_end", 1, ""),
    "before the final checkpoint": ("before [Callback]RunCheckpoint.on_train_end", 1, "final.ckpt"),
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("when", MOMENTS)
def test_nothing_is_lost(server: Server, one: Whole, small_disk: Path, when: str) -> None:
    at, count, name = MOMENTS[when]
    run = Run(server, small_disk / "run")
    run.log_file = small_disk.parent / "log"
    filler = small_disk / "filler"
    codes, _ = run.fill_disk(Moment(at, count), filler)
    errors = [line for line in run.log_file.read_text().splitlines() if line.startswith("error:")]
    assert codes == [2], run.log
    assert len(errors) == 1
    for word in (name, "No space left on device", f"free on the disk at {small_disk}", "--trainer.default_root_dir"):
        assert word in errors[0]
    assert "Traceback" not in run.log
    assert not list(run.folder.rglob("*.tmp"))
    for path in run.folder.glob("checkpoints/*.ckpt"):
        run.checkpoint(path.stem)  # can be read
    filler.unlink()
    assert same(run.finish(), one.result)
