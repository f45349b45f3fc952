"""Configuration files: found, checked, and searched for the line of a key."""

from pathlib import Path

import pytest

from nested_lightning.cli.config import open_configs
from nested_lightning.errors import ConfigurationError
from nested_lightning.utils.resources import shipped

TEXT = """\
model:
  backbone:
    class_path: a.B
    init_args:
      width: 3
  threshold: 0.5
data: {source: digits, budgets: [1, 2]}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize("args", [["--config", "mine.yaml"], ["--config=mine.yaml"], ["-c", "mine.yaml"]])
def test_the_users_file_is_left_as_given(mine: Path, args: list[str]) -> None:
    assert open_configs(["fit", *args, "--data.seed", "1"]).args == ["fit", *args, "--data.seed", "1"]


def test_a_name_that_comes_with_the_package(mine: Path) -> None:
    path = shipped()["recipes/mnist.yaml"]
    args = open_configs(["fit", "--config", "recipes/mnist.yaml", "--config=recipes/mnist.yaml"]).args
    assert args == ["fit", "--config", str(path), f"--config={path}"]


@pytest.mark.parametrize(("key", "line"), [
    ("model", 1), ("model.backbone", 2), ("model.backbone.class_path", 3), ("model.backbone.width", 5),
    ("model.backbone.init_args.width", 5), ("model.threshold", 6), ("data.budgets", 7),
])  # fmt: skip
def test_the_line_of_a_key(mine: Path, key: str, line: int) -> None:
    assert open_configs(["fit", "--config", "mine.yaml"]).locate(key) == f"mine.yaml, line {line}: "


def test_the_line_of_a_key_in_a_list(mine: Path) -> None:
    callbacks = "  - {init_args: {a: 1}}\n  - init_args:\n      b: 2\n      a: 1\n"
    (mine / "over.yaml").write_text(f"trainer:\n  callbacks:\n{callbacks}")
    configs = open_configs(["fit", "--config=over.yaml"])
    assert configs.locate("trainer.callbacks.b") == "over.yaml, line 5: "
    assert configs.locate("trainer.callbacks.a") == "over.yaml, line 2: "  # of several items


@pytest.mark.parametrize(
    "key", ["data.seed", "model.width", "model.backbone.threshold", "trainer", "model.threshold.x"]
)
def test_a_missing_key(mine: Path, key: str) -> None:
    assert open_configs(["fit", "--config", "mine.yaml"]).locate(key) == ""


def test_the_last_file_and_the_command_line_win(mine: Path) -> None:
    (mine / "over.yaml").write_text("model: {threshold: 1}\n")
    args = ["fit", "--config=mine.yaml", "--config=over.yaml"]
    assert open_configs(args).locate("model.threshold") == "over.yaml, line 1: "
    assert open_configs([*args, "--model.threshold=2"]).locate("model.threshold") == ""
    assert open_configs([*args, "--model.backbone", "a.C"]).locate("model.backbone.width") == ""


def test_options_in_place_of_a_file_are_left_alone(mine: Path) -> None:
    args = ["fit", "--config", "model:\n  threshold: 1\n", "--config=s3://bucket/a.yaml", "--config"]
    assert open_configs(args) == (args, [])


@pytest.mark.parametrize(("text", "match"), [
    ("a: [1\nb: 2\n", r"bad\.yaml, line 2: this is not valid YAML"),
    ("a: 'b\n", r"bad\.yaml, line 2: this is not valid YAML"),
    ("text", r"bad\.yaml holds no options"),
    ("", r"bad\.yaml holds no options"),
    ("model:\n  x: 1\n  x: 2\n", r"bad\.yaml, line 3: the key 'x' is given twice, first in line 2"),
    ("callbacks:\n- {a: 1, a: 2}\n", r"bad\.yaml, line 2: the key 'a' is given twice"),
])  # fmt: skip
def test_not_a_configuration(mine: Path, text: str, match: str) -> None:
    (mine / "bad.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=match):
        open_configs(["fit", "--config", "bad.yaml"])


@pytest.mark.parametrize("content", [b"a: \xff\xfe\n", b"a: \x00\n"])
def test_not_a_text(mine: Path, content: bytes) -> None:
    (mine / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml cannot be read as a text in UTF-8"):
        open_configs(["fit", "--config", "bad.yaml"])


@pytest.mark.parametrize(("args", "names"), [
    (["--config=mine.yaml"], True),  # a.B
    (["--model.backbone", "own.Encoder"], True),
    (["--model.backbone=package.models.Encoder"], True),
    (["--model", '{"backbone": {"class_path": "own.Encoder"}}'], True),
    (["--data.augmentation", "augmentation.yaml"], True),
    (["--model.backbone", "torch.nn.Identity"], False),
    (["--data.source", "package/rows.csv"], False),
    (["--data.source=package.csv", "--package.name", "3"], False),  # a file, an option
    (["--data.source", "${package.name}"], False),
])  # fmt: skip
def test_a_module_of_the_working_folder_is_named(mine: Path, args: list[str], names: bool) -> None:
    for name in ("a.py", "own.py", "package.csv"):
        (mine / name).touch()
    (mine / "package").mkdir()
    (mine / "augmentation.yaml").write_text("class_path: own.Augmentation\n")
    assert open_configs(["fit", *args]).names_own_module() == names
