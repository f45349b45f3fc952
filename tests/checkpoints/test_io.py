"""Checkpoint files are written completely or not at all, and damaged ones are refused."""

import resource
import signal

import pytest
import torch
from helpers.refusing import refusing

from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.errors import CheckpointError, WriteError

SAVE, LOAD = AtomicCheckpointIO().save_checkpoint, AtomicCheckpointIO().load_checkpoint
WEIGHTS = {"state_dict": {"w": torch.arange(100_000.0)}}


@pytest.fixture
def full_disk():
    """Let no file grow beyond 100 kB, as on a disk that is nearly full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_written_and_read_also_beside_the_remains_of_a_killed_writer(tmp_path):
    path = tmp_path / "new" / "folder" / "a.ckpt"
    path.parent.mkdir(parents=True)
    path.with_name("a.ckpt.tmp").write_bytes(b"half")
    for file in (path, tmp_path / "other" / "b.ckpt"):
        SAVE(WEIGHTS, file)
        assert torch.equal(LOAD(file)["state_dict"]["w"], WEIGHTS["state_dict"]["w"])
        assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path, full_disk):
    path = tmp_path / "last.ckpt"
    SAVE({"state_dict": {"w": torch.ones(3)}}, path)
    with refusing(WriteError, str(path), "File too large", "free some space", "default_root_dir", 'ckpt_path="last"'):
        SAVE(WEIGHTS, path)
    assert torch.equal(LOAD(path)["state_dict"]["w"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with refusing(WriteError, "file/a.ckpt cannot be written"):
        SAVE(WEIGHTS, tmp_path / "file" / "a.ckpt")


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.ckpt"
    with refusing(CheckpointError, str(path), "there is no checkpoint"):
        LOAD(path)
    SAVE(WEIGHTS, path)
    for damaged in (path.read_bytes()[:5000], b"a recipe, say"):
        path.write_bytes(damaged)
        with refusing(CheckpointError, str(path), "cannot be read"):
            LOAD(path)
    torch.save([1, 2], path)
    with refusing(CheckpointError, str(path), "not a checkpoint of a training run"):
        LOAD(path)
