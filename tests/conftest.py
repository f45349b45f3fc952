"""What all tests share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from helpers.killed_run import Server

# A hub id must fail at once, and no test may depend on the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
_cache = tempfile.TemporaryDirectory(prefix="nested-lightning-tests-")
os.environ["HF_DATASETS_CACHE"] = _cache.name
# W&B sends nothing, asks for nothing and leaves nothing behind.
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
os.environ.update({f"WANDB_{name}_DIR": _cache.name for name in ("CACHE", "DATA", "CONFIG")})
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets; the test is skipped where it is missing."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NESTED_LIGHTNING_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}: set NESTED_LIGHTNING_DATA")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short finished run on the digits. All tests share it: copy it to change it."""
    from helpers.commands import digits, run
    from helpers.once import made_once

    def train(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder.parent)
            run("fit", *digits(folder), "--figures.draw=end", "--seed_everything=3")

    return made_once(tmp_path_factory, "digits", train)


@pytest.fixture(scope="session")
def server() -> "Iterator[Server]":
    """Runs the command line in processes of their own."""
    from helpers.killed_run import Server  # imports datasets, which looks at the environment once

    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def _seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test draw the same whatever was run before it, in whichever process."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    torch.manual_seed(0)
