"""Messages of the parser, told in one line."""

import importlib
from pathlib import Path

import pytest
import torch
from helpers.commands import Engine
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentError, ArgumentParser

from nested_lightning.cli.config import Configs
from nested_lightning.cli.messages import ShortHelp, explain


def parser() -> ArgumentParser:
    built = ArgumentParser(prog="lightning [options] fit", exit_on_error=False, formatter_class=ShortHelp)
    built.add_argument("--car.wheels", type=int, default=4)
    built.add_argument("--car.colours", type=list[str] | None)
    built.add_argument("--car.engine", type=Engine)
    built.add_argument("--car.brake", type=torch.nn.Module)
    return built


def told(*args: str) -> str:
    with pytest.raises(ArgumentError) as caught:
        parser().parse_args(list(args))
    return explain(str(caught.value), parser(), Configs(list(args), []))


@pytest.mark.parametrize(("arg", "message"), [
    ("--car.weels=3",
     "unknown option 'car.weels'. Did you mean 'car.wheels'? All options: nested-lightning fit --help"),
    ("--car.wheels=many", "option 'car.wheels': expected int; got many"),
    ("--car.colours={a: 1}", "option 'car.colours': expected one of: list[str], null; got {'a': 1}"),
    ("--car.wheels", "argument --car.wheels: expected one argument"),
    ("--car.engine={class_path: helpers.commands.Engine, init_args: {pover: 1}}",
     "option 'car.engine': unknown argument 'pover'. Did you mean 'power'? It takes fuel, power"),
    ("--car.engine={class_path: helpers.commands.Engine}",
     "option 'car.engine': Problem with given class_path 'helpers.commands.Engine': the following arguments are "
     "required: power"),
    ("--car.engine=helpers.commands.Enginee",
     "option 'car.engine': unknown class 'helpers.commands.Enginee'. Did you mean 'Engine'?"),
    ("--car.engine=torch.nn.Linear",
     "option 'car.engine': Import path torch.nn.Linear does not correspond to a subclass of Engine"),
])  # fmt: skip
def test_in_one_line(arg: str, message: str) -> None:
    assert told(arg) == message


def test_the_place_in_a_file(tmp_path: Path) -> None:
    from nested_lightning.cli.config import open_configs

    (tmp_path / "a.yaml").write_text("car:\n  wheels: many\n")
    configs = open_configs(["--config", str(tmp_path / "a.yaml")])
    with pytest.raises(ArgumentError) as caught:
        parser().parse_object({"car": {"wheels": "many"}})
    text = explain(str(caught.value), parser(), configs)
    assert text == f"{tmp_path / 'a.yaml'}, line 2: option 'car.wheels': expected int; got many"


@given(st.text())
def test_any_other_message_comes_through_in_one_line(message: str) -> None:
    text = explain("nobody expects\n\n  " + message, parser(), Configs([], []))
    assert len(text.splitlines()) <= 1
    assert text.startswith("nobody expects")


def test_help_names_no_more_classes_than_a_reader_can_use() -> None:
    importlib.import_module("nested_lightning.models")
    shown = parser().format_help()
    assert "--car.brake" in shown
    assert "nested_lightning.models.UNetEncoder" in shown.replace("\n", "").replace(" ", "")
    assert "torch.nn.Identity" not in shown
