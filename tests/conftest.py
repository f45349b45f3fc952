"""Settings and fixtures of all tests."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from helpers.killed_run import Server

# No test may depend on the network: a hub id fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
_cache = tempfile.TemporaryDirectory(prefix="nested-lightning-tests-")
os.environ["HF_DATASETS_CACHE"] = _cache.name
# W&B sends nothing, asks nothing and leaves no files.
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
os.environ.update({f"WANDB_{name}_DIR": _cache.name for name in ("CACHE", "DATA", "CONFIG")})
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of the real data sets; skip the test if it is missing."""
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
    """Start a server that runs the command line in new processes."""
    from helpers.killed_run import Server  # imports datasets, which looks at the environment once

    with Server() as running:
        yield running


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> None:
    """Make the random numbers of shared fixtures independent of the test that needs them first."""
    if fixturedef.scope != "function":
        _seed()


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Make the random numbers of a test independent of the tests before it."""
    _seed()


def _seed() -> None:
    os.environ.pop("PL_GLOBAL_SEED", None)
    torch.manual_seed(0)
