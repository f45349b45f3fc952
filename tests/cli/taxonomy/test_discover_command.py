"""``taxonomy discover``, and what all taxonomy commands have in common."""

from pathlib import Path

import pytest
from helpers.commands import refused, run

from nested_lightning import HierarchicalDataModule, Taxonomy

SMALL = ["digits", "--image_size", "8", "--rows", "300"]


def test_it_writes_a_taxonomy_and_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    discover = ["taxonomy", "discover", *SMALL, "--groups", "2", "4"]
    run(*discover, "--output", "new/found.yaml", "--compare", "taxonomies/digits.yaml")
    out = capsys.readouterr().out
    taxonomy = Taxonomy.from_yaml("new/found.yaml")
    assert taxonomy.sizes == (2, 4, 10) and taxonomy.levels == ("coarse", "middle", "fine")
    assert Path("new/found.png").read_bytes().startswith(b"\x89PNG")
    assert taxonomy.show() in out and "of 300 held out" in out and "the same for taxonomies/digits.yaml" in out
    shares = [line.split()[1] for line in out.splitlines() if line.endswith(" %")]
    assert len(shares) == 6 and shares[2] == shares[5]
    assert HierarchicalDataModule("digits", "new/found.yaml", validation=0, seed=0).subset_sizes == [0, 0, 1797]
    run(*discover, "--output", "again.yaml", "--picture", "pictures/again.png")
    assert Path("again.yaml").read_bytes() == Path("new/found.yaml").read_bytes()
    assert Path("pictures/again.png").is_file()


@pytest.mark.parametrize(("options", "parts"), [
    (["--groups", "5", "2"], ["groups=[5, 2]", "must grow"]),
    (["--groups", "two"], ["--groups", "'two'"]),
    (["--groups", "2", "--levels", "a"], ["levels=['a']", "expected 2 names"]),
    (["--groups", "2", "--label_column", "lable"], ["'lable'", "Did you mean 'label'", "label_column"]),
    (["--groups", "2", "--input_column", "pixels"], ["'pixels'", "input_column"]),
    (["--groups", "2", "--image_size", "0"], ["image_size must be one positive number"]),
    (["--groups", "2", "--rows", "3"], ["rows=3", "10 labels"]),
    (["--groups", "2", "--compare", "none.yaml"], ["'none.yaml'", "does not exist"]),
    (["--groups", "2", "--picture", "found.txt"], ["found.txt", "cannot be written"]),
    (["--groups", "2", "--seeed", "1"], ["unknown option --seeed", "Did you mean '--seed'"]),
    ([], ["--groups", "discover --help"]),
])  # fmt: skip
def test_mistakes(options: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "taxonomy", "discover", *SMALL, *options, "--output", "found.yaml")
    assert all(part in message for part in parts), message


def test_a_picture_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("found.png").write_text("precious")
    message = refused(capsys, "taxonomy", "discover", *SMALL, "--groups", "2", "--output", "found.yaml")
    assert "found.png exists" in message


@pytest.mark.parametrize("command", ["", "discover", "build", "show", "check", "build json", "build columns"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run("taxonomy", *command.split(), "--help")
    assert end.value.code == 0
    assert f"nested-lightning taxonomy {command}".strip() in capsys.readouterr().out


def test_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean 'show'?" in refused(capsys, "taxonomy", "shwo")
    assert "Choose from columns, folders" in refused(capsys, "taxonomy", "build", "table", "x")
    assert "Did you mean 'taxonomy'?" in refused(capsys, "taxonomi", "show", "x")
