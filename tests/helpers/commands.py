"""The command line in this process: a small run, and commands that must be refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning  # noqa: F401  its log handler keeps the stderr of the moment, which within a test is closed after it
import pytest

from nested_lightning.cli.main import main

SHORT = ["--cascade.max_epochs", "1", "--rejection.steps", "3", "--figures.draw", "never"]


def digits(root: Path) -> list[str]:
    """Return the options of a short run on the digits with the folder ``root``."""
    return ["--config", "recipes/digits.yaml", "--trainer.default_root_dir", str(root), *SHORT]


def run(*args: object, **classes: Any) -> None:
    main([str(argument) for argument in args], **classes)


def refused(capsys: pytest.CaptureFixture[str], *args: object, **classes: Any) -> str:
    """Run a command that is wrong; return its one message."""
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


class Engine:
    """A class to be named in options."""

    def __init__(self, power: int, fuel: str = "wood") -> None: ...
