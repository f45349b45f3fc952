"""The workspace, built without a network from a recipe, a taxonomy or a run; mistakes are one message."""

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
from nested_lightning.cli import dashboard
from nested_lightning.loggers import wandb as loggers

pytest.importorskip("wandb_workspaces")
WHERE = ["dashboard", "--entity", "me", "--project", "birds"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def printed(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    run(*WHERE, *args, "--as-json")
    specification: dict[str, Any] = json.loads(capsys.readouterr().out)
    return specification


def panels(specification: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the panels of each section."""
    sections = specification["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def metrics(found: list[dict[str, Any]], kind: str) -> list[list[str]]:
    return [panel["config"]["metrics"] for panel in found if panel["viewType"] == kind]


def test_the_sections_and_their_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    specification = printed(capsys, "--config", "recipes/mnist.yaml", "--name", "digits")
    assert [specification[key] for key in ("entity", "project", "displayName")] == ["me", "birds", "digits"]
    found = panels(specification)
    compared, stages, coarse, middle, fine, calibration, distortion, samples = found
    assert (compared, stages) == ("Nested, traditional, end to end", "Stages")
    assert (coarse, middle, fine) == ("Level coarse", "Level middle", "Level fine")
    assert (calibration, distortion) == ("Calibration, before and after", "Accuracy against distortion")
    assert samples == "Samples and taxonomy"
    paths = [[f"test/{name}/accuracy"] for name in ("coarse", "middle", "fine", "path")]
    assert metrics(found[compared], "Bar Chart") == paths
    assert metrics(found[stages], "Run History Line Plot")[:2] == [["cascade/stage"], ["cascade/learning_rate"]]
    assert metrics(found[calibration], "Bar Chart")[2] == ["uncalibrated/test/fine/ece", "test/fine/ece"]
    conditions = ["test", *(f"test/distortion_{i}" for i in range(1, 5))]
    assert metrics(found[distortion], "Bar Chart")[0] == [f"{condition}/coarse/accuracy" for condition in conditions]
    assert {panel["config"]["groupBy"] for panel in found[compared][:-1]} == {"scheme.value"}


def test_levels_of_a_taxonomy_of_columns_and_of_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"data": {"label_columns": ["order", "species"]}}))
    assert "Level order" in panels(printed(capsys, "--config", recipe))
    assert "Level l3" in panels(printed(capsys, "--config", "taxonomies/dbpedia.yaml"))
    trainer = toy_trainer(tmp_path / "run", RunCheckpoint(), max_epochs=1)
    trainer.fit(toy_module(), loader(), loader(seed=1))
    found = panels(printed(capsys, "--run", tmp_path / "run"))
    assert [name for name in found if name.startswith("Level ")] == [f"Level {level}" for level in TAXONOMY.levels]


def test_a_dry_run_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    run(*WHERE, "--config", "recipes/mnist.yaml", "--dry-run")
    first, *sections = capsys.readouterr().out.splitlines()
    assert first == "Workspace 'nested learning' in me/birds, not saved:"
    assert len(sections) == 8
    assert sections[1].startswith("  Stages: stage, learning rate, loss, accuracy, validation samples, ")


def test_other_distortions(capsys: pytest.CaptureFixture[str]) -> None:
    overlay = "recipes/evaluation/perturbations.yaml"
    found = panels(printed(capsys, "--config", "recipes/mnist.yaml", "--distortions", overlay))
    assert "test/blur/fine/accuracy" in metrics(found["Accuracy against distortion"], "Bar Chart")[2]


@pytest.mark.parametrize(("options", "part"), [
    ([], "give the levels by one of --config RECIPE and --run RUN"),
    (["--config", "recipes/minst.yaml"], "Did you mean 'recipes/mnist.yaml'"),
    (["--config", "recipes/loggers/wandb.yaml"], "does not give the levels"),
    (["--run", "nowhere"], "nowhere is not the folder of a run"),
    (["--config", "recipes/mnist.yaml", "--distortions", "recipes/mnist.yaml"], "has no data.distortions"),
    (["--config", "recipes/mnist.yaml", "--dry"], "Did you mean '--dry_run' or '--dry-run'"),
    (["--config", "recipes/mnist.yaml"], "run 'wandb login' once"),
])  # fmt: skip
def test_mistakes(
    options: list[str], part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "wandb_account", lambda: False)
    assert part in refused(capsys, *WHERE, *options)


def test_the_extra_is_named_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    message = refused(capsys, *WHERE, "--config", "recipes/mnist.yaml", "--dry-run")
    assert "pip install 'nested-lightning[dashboards]'" in message


def test_saving_and_its_refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
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
