"""Typed functions as commands: their options, their help and one line for each mistake."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from nested_lightning.cli.parser import Commands, run_command
from nested_lightning.errors import ConfigurationError

CALLS: list[object] = []


def build(source: str, *, columns: list[str], output: Path, keep_labels: bool = False, seed: int | None = None) -> None:
    """Build a thing from 100 % of a source.

    Args:
        source: a file
        columns: names, coarse to fine
        output: the file to write, of which
            50 % are free
        keep_labels: keep all labels
        seed: of the choice
    """
    CALLS.append((source, columns, output, keep_labels, seed))


def show(*, groups: list[int] | None = None, side: int = 3) -> None:
    """Show a thing."""
    CALLS.append((groups, side))


@dataclass(frozen=True)
class Paint:
    """Paint of a thing.

    Args:
        colors: of all coats.
        glossy: whether it shines.
        thin: whether it is thinned. None: if needed.
    """

    colors: tuple[str, ...] = ()
    glossy: bool = False
    thin: bool | None = None


def paint(thing: str, *, paint: Paint = Paint()) -> None:  # frozen
    """Paint a thing."""
    CALLS.append((thing, paint))


def test_a_dataclass_has_an_option_for_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    def painted(*args: str) -> object:
        CALLS.clear()
        run_command(paint, args, "paint")
        return CALLS[0]

    assert painted("door") == ("door", Paint())
    options = ["--paint.colors", "red", "blue", "--paint.glossy", "--paint.thin", "false"]
    called = painted("door", *options)
    assert called[0] == "door" and tuple(called[1].colors) == ("red", "blue")  # type: ignore[index]
    assert called[1].glossy is True and called[1].thin is False  # type: ignore[index]
    with pytest.raises(ConfigurationError, match=r"--paint.thin: invalid"):
        painted("door", "--paint.thin", "maybe")
    with pytest.raises(SystemExit):
        painted("--help")
    assert "whether it shines" in capsys.readouterr().out


COMMANDS: Commands = {"make": {"build": build}, "show": show}


def call(*args: str) -> object:
    CALLS.clear()
    run_command(COMMANDS, args, "tool", "Do things.")
    (called,) = CALLS
    return called


@pytest.mark.parametrize("flag", ["--keep_labels", "--keep-labels"])
def test_arguments_reach_the_function(flag: str) -> None:
    called = call("make", "build", "a.csv", "--columns", "x", "y", "--output=o.yaml", flag, "--seed", "4")
    assert called == ("a.csv", ["x", "y"], Path("o.yaml"), True, 4)
    assert call("make", "build", "a.csv", "--columns", "x", "--output=o") == ("a.csv", ["x"], Path("o"), False, None)
    assert call("show", "--groups", "1", "2") == ([1, 2], 3)


@pytest.mark.parametrize(("args", "message"), [
    (["show", "--groop", "1"], "tool show: unknown option --groop. Did you mean '--groups'? See tool show --help"),
    (["show", "--keep-label"], "tool show: unknown option --keep-label. See tool show --help"),
    (["shwo"], "tool: unknown command 'shwo'. Choose from make, show. Did you mean 'show'? See tool --help"),
    (["make", "bild"], "tool make: unknown command 'bild'. Choose from build. Did you mean 'build'? See tool make "
                       "--help"),
    (["show", "--side", "x"], "tool show: argument --side: invalid int value: 'x'. See tool show --help"),
    (["show", "more"], "tool show: unrecognized arguments: more. See tool show --help"),
    (["show", "--sid", "3"], "tool show: unknown option --sid. Did you mean '--side'? See tool show --help"),
    (["make", "build", "a"], "tool make build: the following arguments are required: --columns, --output. See tool "
                             "make build --help"),
    ([], "tool: the following arguments are required: {make,show}. See tool --help"),
])  # fmt: skip
def test_a_mistake_is_one_line(args: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call(*args)
    assert str(caught.value) == message


def test_help_is_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        call("make", "build", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert shown.startswith("usage: tool make build [-h] --columns COLUMN [COLUMN ...] --output OUTPUT [--keep_labels]")
    assert "Build a thing from 100 % of a source." in shown
    assert "the file to write, of which 50 % are free" in shown
    assert "--keep_labels, --keep-labels keep all labels" in shown
    with pytest.raises(SystemExit):
        call("--help")
    assert "Do things." in (shown := capsys.readouterr().out) and "Show a thing." in shown
    with pytest.raises(SystemExit):
        call("show", "--help")
    assert "(default: 3)" in capsys.readouterr().out
