"""A run on local data never uses the network, and completes in a sandbox without one."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from helpers.commands import SHORT, digits, run, write_image, write_rows
from helpers.network import NetworkUsedError, no_network

from nested_lightning.data.sources import open_source

SANDBOX = ["unshare", "--net", "--map-root-user"]
RECIPE_TESTS = Path(__file__).with_name("test_recipes.py")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the libraries use the network, as they do for a user."""
    for name in ("HF_HUB_OFFLINE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)


def test_the_guard_sees_what_is_swallowed() -> None:
    guard = no_network()
    guard.__enter__()
    with pytest.raises(NetworkUsedError, match=r"example\.org"):
        socket.create_connection(("example.org", 80))
    with pytest.raises(NetworkUsedError, match=r"192\.0\.2\.1"):
        socket.socket().connect(("192.0.2.1", 80))
    with pytest.raises(NetworkUsedError, match=r"swallowed: example\.org, \('192\.0\.2\.1', 80\)"):
        guard.__exit__(None, None, None)


@pytest.mark.usefixtures("online")
def test_the_digits_from_training_to_predictions(tmp_path: Path) -> None:
    with no_network():
        run("fit", *digits(tmp_path / "run"))
        final = tmp_path / "run" / "checkpoints" / "final.ckpt"
        run("predict", "--ckpt_path", final, "--trainer.default_root_dir", tmp_path)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("kind", ["csv", "json", "parquet", "folder", "images", "saved"])
def test_local_sources(kind: str, tmp_path: Path) -> None:
    """Open one source of each kind, as a library could report what it opens."""
    rows = datasets.Dataset.from_dict({"x": [1.5, 2.5], "label": [str(tmp_path), kind]})
    path = tmp_path / {"folder": ".", "images": ".", "saved": "saved"}.get(kind, f"rows.{kind}")
    write = {
        "csv": rows.to_csv,
        "json": lambda path: write_rows(path, list(rows)),
        "parquet": rows.to_parquet,
        "folder": lambda path: rows.to_parquet(path / "train.parquet"),
        "images": lambda path: [write_image(path / "train" / "a" / f"{i}.png") for i in range(2)],
        "saved": rows.save_to_disk,
    }
    write[kind](path)
    with no_network():
        assert len(open_source(str(path))["train"]) == 2


@pytest.fixture(scope="module")
def sandbox() -> list[str]:
    """Return a command prefix for running without a network; skip where this is not allowed."""
    look = "import socket; print(len(socket.if_nameindex()))"
    try:
        seen = subprocess.run([*SANDBOX, sys.executable, "-c", look], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"unshare cannot be run: {error}")
    if seen.returncode:
        pytest.skip(f"no sandbox without a network is allowed here: {seen.stderr.strip()}")
    assert seen.stdout.strip() == "1"  # the loop-back alone
    return SANDBOX


@pytest.mark.slow
def test_every_recipe_in_a_sandbox(sandbox: list[str]) -> None:
    """Run the tests of the recipes, each recipe and overlay on a few samples, without any network."""
    environment: dict[str, Any] = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    tests = [sys.executable, "-m", "pytest", str(RECIPE_TESTS), "-m", "slow or not slow", "-k", "runs or encoder"]
    done = subprocess.run([*sandbox, *tests], capture_output=True, text=True, check=False, env=environment)
    print(done.stdout[-3000:])
    assert done.returncode == 0
    assert " passed" in done.stdout


REAL = {
    "mnist": ("mnist", "[200,200,200]"),
    "fashion_mnist": ("fashion_mnist", "[200,200,200]"),
    "cifar10": ("cifar10", "[100,100,100]"),
    "plantvillage": ("plantvillage", "[100,100,100]"),
    "dbpedia": ("dbpedia_classes", "[300,300,300]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*REAL, "digits"])
def test_recipes_on_the_real_data_in_a_sandbox(recipe: str, sandbox: list[str], data_dir: Path, tmp_path: Path) -> None:
    """Train and predict on a few samples of the real files."""
    folder, budgets = REAL.get(recipe, (None, "[300,300,300]"))
    source = [] if folder is None else ["--data.source", str(data_dir / folder)]
    few = ["--data.budgets", budgets, "--data.validation=100", "--trainer.accelerator=cpu", *SHORT]
    command = [*sandbox, sys.executable, "-m", "nested_lightning"]
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "WANDB_MODE")}
    for arguments in (
        ["fit", f"--config=recipes/{recipe}.yaml", *source, *few, f"--trainer.default_root_dir={tmp_path}"],
        ["predict", f"--ckpt_path={tmp_path}/checkpoints/final.ckpt", f"--trainer.default_root_dir={tmp_path}/new"],
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "new" / "predictions.parquet").exists()
