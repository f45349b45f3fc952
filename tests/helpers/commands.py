"""Run the command line in this process: a small run, its options, and commands that must be refused."""

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning  # noqa: F401  its log handler keeps the stderr of the moment, which within a test is closed after it
import pytest
import yaml
from PIL import Image

from nested_lightning.cli.main import main

SHORT = ["--cascade.max_epochs", "1", "--rejection.steps", "3", "--figures.draw", "never"]


def digits(root: Path) -> list[str]:
    """Return the options of a short run on the digits with the folder ``root``."""
    return ["--config", "recipes/digits.yaml", "--trainer.default_root_dir", str(root), *SHORT]


def run(*args: object, **classes: Any) -> None:
    main([str(argument) for argument in args], **classes)


def options_of(*args: object) -> dict[str, Any]:
    """Return the options that a command would run with."""
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as end:
        run(*args, "--print_config")
    assert end.value.code == 0
    options: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return options


def refused(capsys: pytest.CaptureFixture[str], *args: object, **classes: Any) -> str:
    """Run a wrong command and return its error message, the only line it prints to stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run(*args, **classes)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    """Write an image of one colour; ``size`` is its width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * len(mode)).save(path)


class Engine:
    """A class for options that take a class path."""

    def __init__(self, power: int, fuel: str = "wood") -> None: ...
