"""``taxonomy show`` and ``taxonomy check``."""

from pathlib import Path

import datasets
import pytest
from helpers.commands import refused, run, write_image

from nested_lightning import Taxonomy

TREE = "levels: [kind, family, species]\ntree:\n  animal:\n    bird: [eagle, owl]\n    fish: [cod, perch]\n  stone:\n"
LEVELS = ["kind", "family", "species"]


@pytest.fixture(autouse=True)
def animals(folder: Path) -> None:
    (folder / "animals.yaml").write_text(TREE)


def checked(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, list[str]]:
    capsys.readouterr()
    try:
        run("taxonomy", "check", *args)
    except SystemExit as end:
        return int(str(end.code)), capsys.readouterr().out.splitlines()
    return 0, capsys.readouterr().out.splitlines()


def test_show_prints_the_tree_with_its_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    run("taxonomy", "show", "animals.yaml")
    assert capsys.readouterr().out == Taxonomy.from_yaml("animals.yaml").show() + "\n"


def test_show_counts_the_rows_of_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("label\nowl\nowl\nbird\nanimal\nstone\ncod\nanimal/fish\n")
    run("taxonomy", "show", "animals.yaml", "--source", "rows.csv")
    out = capsys.readouterr().out
    assert "├── animal: 6 rows, 1 of them known no further\n" in out
    assert "│   ├── bird: 3 rows, 1 of them known no further\n" in out
    assert "│   │   └── owl: 2 rows\n" in out
    assert "└── stone: 1 row\n" in out
    assert "7 rows in train, 0 of them without a label" in out
    assert "H(Y_i|Y_i+1)" in out and "the labels are strictly nested" in out


def test_show_with_labels_of_one_level(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("name,label\n1,animal\n2,\n")
    run("taxonomy", "show", "animals.yaml", "--source", "rows.csv", "--label_columns", "label")
    out = capsys.readouterr().out
    assert "2 rows in train, 1 of them without a label" in out and "cannot be measured" in out


def test_check_finds_every_contradiction_of_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["animal,bird,owl"] * 2 + ["animal,fish,owl", "stone,,", ",,cod", "stone,bird,", "stone,,owl", ",,cod", ",,"]
    Path("rows.csv").write_text("\n".join(["kind,family,species", *rows]) + "\n")
    code, lines = checked(capsys, "rows.csv", "--label_columns", *LEVELS)
    assert code == 1 and lines[-1] == "4 contradictions" and len(lines) == 5
    where = "split 'train' of rows.csv"
    assert f"'bird' stands under two parents, 'animal' (rows 0-1 of {where}) and 'stone' (row 5 of {where})" in lines[0]
    assert (
        f"'owl' stands under two parents, 'animal/bird' (rows 0-1 of {where}) and 'animal/fish' (row 2 of {where})"
        in lines[1]
    )
    assert lines[2].startswith(f"rows 4, 7 of {where}: column 'species' has 'cod'")
    assert lines[3].startswith(f"row 6 of {where}, column 'species': 'owl'") and "'kind' has 'stone'" in lines[3]
    code, lines = checked(capsys, "rows.csv", "--label_columns", *LEVELS, "--allow_repeated_names")
    assert code == 1 and lines[-1] == "2 contradictions"


def test_check_finds_every_label_that_does_not_fit_a_taxonomy(capsys: pytest.CaptureFixture[str]) -> None:
    for name, labels in (("train", "owl\nowll\nbird\nowll"), ("test", "x\nowll\ncod")):
        Path(f"{name}.csv").write_text(f"label\n{labels}\n")
    both = datasets.DatasetDict({name: datasets.Dataset.from_csv(f"{name}.csv") for name in ("train", "test")})
    both.save_to_disk("rows")
    code, lines = checked(capsys, "rows", "--taxonomy", "animals.yaml")
    assert code == 1 and lines[-1] == "2 contradictions"
    assert lines[0].startswith("rows 1, 3 of split 'train' of rows; row 1 of split 'test' of rows, column 'label': ")
    assert "'owll'. Did you mean 'owl'?" in lines[0]
    assert lines[1].startswith("row 0 of split 'test' of rows, column 'label': the taxonomy has no class 'x'")


def test_check_of_columns_against_a_taxonomy(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("kind,family,species\nanimal,fish,owl\nanimal,bird,owl\n,,perch\nstone,,owl\n,,x\n")
    code, lines = checked(capsys, "rows.csv", "--taxonomy", "animals.yaml")
    assert code == 1 and [line.split(" of ")[0] for line in lines[:-1]] == ["row 0", "row 3", "row 4"]


def test_consistent_labels_are_reported_as_fine(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("kind,species,label\nanimal,owl,owl\n,owl,stone\nstone,,bird\n")
    assert checked(capsys, "animals.yaml") == (0, ["animals.yaml is fine: Taxonomy(kind 2 > family 3 > species 5)"])
    fine = "rows.csv is fine: 3 rows, columns "
    assert checked(capsys, "rows.csv", "--taxonomy", "animals.yaml") == (0, [fine + "'label'"])
    assert checked(capsys, "rows.csv", "--label_columns", "kind", "species") == (0, [fine + "'kind', 'species'"])


def test_folders_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("animal/bird/owl", "animal/bird", "bird/eagle", "stone"):
        write_image(Path("photos", "train", name, "1.png"))
    fine = "photos is fine: 4 rows, columns 'label'"
    assert checked(capsys, "photos", "--taxonomy", "animals.yaml") == (0, [fine])
    assert checked(capsys, "photos") == (0, [fine])
    run("taxonomy", "show", "animals.yaml", "--source", "photos")
    assert "bird: 3 rows, 1 of them known no further" in capsys.readouterr().out
    write_image(Path("photos", "train", "fish", "owl", "1.png"))
    code, lines = checked(capsys, "photos", "--taxonomy", "animals.yaml")
    assert code == 1 and "row 3 of split 'train' of photos (photos/train/fish/owl/1.png), column 'label'" in lines[0]
    assert "folder 'fish/owl'" in lines[0]


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("kind,species\nanimal,owl\n")
    Path("wrong.yaml").write_text("levels: [a, b]\ntree: {x: [y, y]}\n")
    check = ["taxonomy", "check"]
    assert "compared with what" in refused(capsys, *check, "rows.csv")
    assert "Did you mean 'species'" in refused(capsys, *check, "rows.csv", "--label_columns", "kind", "specie")
    assert "wrong.yaml, line 2" in refused(capsys, *check, "wrong.yaml")
    assert "needs no --taxonomy" in refused(capsys, *check, "animals.yaml", "--taxonomy", "animals.yaml")
    assert "one for each of the levels" in refused(
        capsys, *check, "rows.csv", "--taxonomy", "animals.yaml", "--label_columns", "kind", "species"
    )
    assert "source 'nothing'" in refused(capsys, *check, "nothing", "--taxonomy", "animals.yaml")
