"""The command ``recipes``: what it lists, and that it copies over nothing."""

import errno
import shutil
from pathlib import Path

import pytest
from helpers.commands import refused, run

from nested_lightning.utils.resources import shipped


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_names_every_file_and_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    run("recipes", "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped())
    assert all(line.endswith(".") for line in lines)  # the first line of each file is a whole sentence
    (overlay,) = (line for line in lines if line.startswith("recipes/variants/no_skip.yaml"))
    assert overlay.split(maxsplit=1)[1].startswith("Overlay: ")


def test_copy_never_overwrites_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("recipes", "copy", "mine")
    assert str(folder / "mine") in capsys.readouterr().out
    copied = {path.relative_to(folder / "mine").as_posix(): path for path in (folder / "mine").rglob("*.yaml")}
    assert {name: path.read_bytes() for name, path in copied.items()} == {
        name: path.read_bytes() for name, path in shipped().items()
    }
    kept = copied.pop("recipes/mnist.yaml")
    kept.write_text("changed")
    for path in copied.values():
        path.unlink()
    message = refused(capsys, "recipes", "copy", "mine")
    assert "mnist.yaml exists" in message and "choose another folder" in message
    assert list((folder / "mine").rglob("*.yaml")) == [kept]
    assert kept.read_text() == "changed"


def test_a_copy_that_fails_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copied: list[str] = []

    def fills_the_disk(source: Path, target: str) -> None:
        copied.append(target)
        Path(target).touch()
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fills_the_disk)
    message = refused(capsys, "recipes", "copy", "mine")
    assert "No space left on device" in message and "free some space or choose another folder" in message
    assert len(copied) == 3 and not [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("args", "part"), [
    ([], "{list,copy}"), (["copy"], "DEST"), (["list", "more"], "more"), (["cpoy", "here"], "mean 'copy'"),
])  # fmt: skip
def test_wrong_arguments(args: list[str], part: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "recipes", *args)
    assert part in message and "nested-lightning recipes" in message
    assert not list(folder.iterdir())
