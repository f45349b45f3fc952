import subprocess

import torch
import yaml
from helpers.toy import read_metrics, toy_fit

from nested_lightning.callbacks import RunCheckpoint
from nested_lightning.loggers import RunCSVLogger
from nested_lightning.utils import provenance as module
from nested_lightning.utils.provenance import provenance

PACKAGES = {"python", "nested-lightning", "torch", "lightning", "torchmetrics", "datasets"}


def revision(folder, monkeypatch):
    monkeypatch.chdir(folder)
    module._git_revision.cache_clear()
    found = provenance()["git_revision"]
    module._git_revision.cache_clear()
    return found


def test_the_revision_of_a_checkout(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert revision(tmp_path, monkeypatch) is None
    git("init")
    assert revision(tmp_path, monkeypatch) is None  # without a commit
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    git("tag", "-a", "v1", "-m", "a name that is not wanted")
    head = git("rev-parse", "HEAD").stdout.strip()
    assert revision(tmp_path, monkeypatch) == head
    (tmp_path / "a").write_text("2")
    assert revision(tmp_path, monkeypatch) == f"{head}-dirty"


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision(tmp_path, monkeypatch) is None


def test_in_every_checkpoint_and_log(tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    for max_epochs in (1, 2):
        resume = "last" if max_epochs > 1 else None
        toy_fit(tmp_path, RunCheckpoint(), max_epochs=max_epochs, logger=RunCSVLogger(tmp_path), ckpt_path=resume)
    for name in ("last", "final"):
        saved = torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)["provenance"]
        assert saved["seed"] == 5
        assert saved["versions"].keys() == PACKAGES
        assert saved["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    starts = yaml.safe_load((tmp_path / "provenance.yaml").read_text())
    assert starts == [saved, saved]
    assert read_metrics(tmp_path)
