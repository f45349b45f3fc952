"""The workspace is built without a network, for the levels of whatever tells them; mistakes are one message."""

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers.commands import refused, run
from helpers.toy import TAXONOMY, loader, toy_module, toy_trainer

from nested_lightning.callbacks import RunCheckpoint
from nested_lightning.cli.dashboard import command
from nested_lightning.loggers import wandb as loggers

pytest.importorskip("wandb_workspaces")
WHERE = ["dashboard", "--entity", "me", "--project", "birds"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def printed(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    run(*WHERE, *args, "--dry-run")
    specification: dict[str, Any] = json.loads(capsys.readouterr().out)
    return specification


def panels(specification: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the panels of each section."""
    sections = specification["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def metrics(found: list[dict[str, Any]], kind: str) -> list[list[str]]:
    return [panel["config"]["metrics"] for panel in found if panel["viewType"] == kind]


def test_sections_for_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    specification = printed(capsys, "--config", "recipes/mnist.yaml", "--name", "digits")
    assert (specification["entity"], specification["project"], specification["displayName"]) == (
        "me",
        "birds",
        "digits",
    )
    found = panels(specification)
    levels = ("coarse", "middle", "fine")
    assert list(found) == [
        "Nested, traditional, end to end",
        "Stages",
        *(f"Level {level}" for level in levels),
        "Calibration, before and after",
        "Accuracy against distortion",
        "Samples and taxonomy",
    ]
    assert metrics(found["Nested, traditional, end to end"], "Bar Chart") == [
        *([f"test/{level}/accuracy"] for level in levels),
        ["test/path/accuracy"],
    ]
    assert metrics(found["Stages"], "Run History Line Plot")[:2] == [["cascade/stage"], ["cascade/learning_rate"]]
    assert metrics(found["Calibration, before and after"], "Bar Chart")[2] == [
        "uncalibrated/test/fine/ece",
        "test/fine/ece",
    ]
    (coarse, *_) = metrics(found["Accuracy against distortion"], "Bar Chart")
    assert coarse == ["test/coarse/accuracy", *(f"test/distortion_{i}/coarse/accuracy" for i in range(1, 5))]
    for panel in found["Nested, traditional, end to end"][:-1]:
        assert panel["config"]["groupBy"] == "scheme.value"


def test_levels_of_a_taxonomy_of_columns_and_of_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"label_columns": ["order", "species"]}}))
    assert "Level order" in panels(printed(capsys, "--config", recipe))
    assert "Level l3" in panels(printed(capsys, "--config", "taxonomies/dbpedia.yaml"))
    trainer = toy_trainer(tmp_path / "run", RunCheckpoint(), max_epochs=1)
    trainer.fit(toy_module(), loader(), loader(seed=1))
    found = panels(printed(capsys, "--run", tmp_path / "run"))
    assert [name for name in found if name.startswith("Level ")] == [f"Level {level}" for level in TAXONOMY.levels]


def test_other_distortions(capsys: pytest.CaptureFixture[str]) -> None:
    overlay = "recipes/evaluation/perturbations.yaml"
    found = panels(printed(capsys, "--config", "recipes/mnist.yaml", "--distortions", overlay))
    assert "test/blur/fine/accuracy" in metrics(found["Accuracy against distortion"], "Bar Chart")[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "one of the arguments --config --run is required"),
        (["--config", "recipes/minst.yaml"], "Did you mean 'recipes/mnist.yaml'"),
        (["--config", "recipes/loggers/wandb.yaml"], "does not tell the levels"),
        (["--run", "nowhere"], "nowhere is no folder of a run"),
        (["--config", "recipes/mnist.yaml", "--distortions", "recipes/mnist.yaml"], "has no data.distortions"),
        (["--config", "recipes/mnist.yaml", "--dry_run"], "Did you mean '--dry-run'"),
        (["--config", "recipes/mnist.yaml"], "run 'wandb login' once"),
    ],
)
def test_mistakes(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "wandb_account", lambda: False)
    assert told in refused(capsys, *WHERE, *options)


def test_the_extra_is_named_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    message = refused(capsys, *WHERE, "--config", "recipes/mnist.yaml", "--dry-run")
    assert "pip install 'nested-lightning[dashboards]'" in message


def test_it_is_saved_or_the_refusal_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wandb_workspaces.workspaces import Workspace

    monkeypatch.setattr(loggers, "wandb_account", lambda: True)
    monkeypatch.setattr(Workspace, "save", lambda self: SimpleNamespace(url=f"https://{self.entity}/{self.project}"))
    run(*WHERE, "--config", "recipes/mnist.yaml")
    assert capsys.readouterr().out == "Workspace: https://me/birds\n"

    def fail(self: Workspace) -> None:
        raise ValueError("permission denied")

    monkeypatch.setattr(Workspace, "save", fail)
    message = refused(capsys, *WHERE, "--config", "recipes/mnist.yaml")
    assert "W&B did not save the workspace (ValueError: permission denied)" in message
    assert "--entity me" in message
