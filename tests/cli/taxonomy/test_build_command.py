"""``taxonomy build`` from columns, folders, pairs, texts and JSON."""

from pathlib import Path

import datasets
import pytest
from helpers.commands import refused, run

from nested_lightning import HierarchicalDataModule, Taxonomy

LEAVES = {("animal", "bird", "owl"), ("animal", "bird", "eagle"), ("animal", "fish", "cod"), ("stone",)}


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def built(*args: object) -> Taxonomy:
    run("taxonomy", "build", *args, "--output", "made/out.yaml", "--overwrite")
    return Taxonomy.from_yaml("made/out.yaml")


def test_all_kinds_give_the_same_tree(capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.csv", "kind,family,species\nanimal,bird,owl\nanimal,bird,eagle\nanimal,,\nanimal,fish,cod\nstone,,\n")
    for name in ("train/animal/bird/owl", "test/animal/bird/eagle", "train/animal/fish/cod", "train/stone"):
        write(f"photos/{name}/1.jpg", "")
    write("photos/train/animal/bird/unknown.jpg", "")
    write("photos/.hidden/deep/1.jpg", "")
    write("pairs.csv", "child,parent\nowl,bird\nbird,animal\neagle,bird\ncod,fish\nfish,animal\nstone,\n")
    write("paths.txt", "animal/bird/owl\n\nanimal/bird/eagle\nanimal/bird\nanimal/fish/cod\nanimal/bird/owl\nstone\n")
    write("paths.csv", "where\nanimal > bird > owl\nanimal > bird > eagle\nanimal\nanimal > fish > cod\nstone\n")
    write("tree.json", '{"animal": [{"bird": ["owl", "eagle"]}, {"fish": {"cod": null}}], "stone": []}')
    for args in (
        ["columns", "rows.csv", "--columns", "kind", "family", "species"],
        ["folders", "photos"],
        ["edges", "pairs.csv"],
        ["paths", "paths.txt"],
        ["paths", "paths.csv", "--column", "where", "--separator", ">"],
        ["json", "tree.json", "--levels", "kind", "family", "species"],
    ):
        taxonomy = built(*args)
        assert set(taxonomy.short_leaves) == LEAVES, args
        assert taxonomy.show() in capsys.readouterr().out
    assert taxonomy.levels == ("kind", "family", "species")


def test_labels_with_a_separator_still_match_their_rows() -> None:
    labels = ["Apple___healthy", "Apple___scab", "Grape___healthy", "Apple___scab"]
    datasets.Dataset.from_dict({"x": [1.0, 2.0, 3.0, 4.0], "label": labels}).to_parquet("plants.parquet")
    assert built("paths", "plants.parquet", "--separator", "___").leaves[0] == ("Apple", "healthy")
    taxonomy = built("paths", "plants.parquet", "--separator", "___", "--keep_labels")
    assert taxonomy.short_leaves[1] == ("Apple", "Apple___scab")
    data = HierarchicalDataModule("plants.parquet", taxonomy, "x", validation=0, seed=0)
    assert data.subset_sizes == [0, 4]


def test_labels_of_uneven_depth_match_the_groups_they_name() -> None:
    write("labels.csv", "x,label\n1,A___B___c\n2,A___B\n3,A\n4,A___D___e\n5,F\n")
    taxonomy = built("paths", "labels.csv", "--separator", "___", "--keep_labels")
    assert taxonomy.short_leaves == (("A", "A___B", "A___B___c"), ("A", "A___D", "A___D___e"), ("F",))
    data = HierarchicalDataModule("labels.csv", taxonomy, "x", "label", validation=0, seed=0)
    assert data.subset_sizes == [1, 1, 3]


def test_published_lists_of_paths() -> None:
    tree = {("a & b", "live"), ("a & b", "pet", "bird"), ("c",)}
    for name, ids in (("numbers.txt", "{n} - "), ("addresses.txt", "gid://shop/{n}     : "), ("plain.txt", "")):
        texts = ["a & b", "a & b > live", "a & b > pet", "a & b > pet > bird", "c"]
        lines = [ids.format(n=n) + text for n, text in enumerate(texts)]
        write(name, "\n".join(["# Version: 2024", "", *lines]) + "\n")
        with pytest.warns(UserWarning, match="1 lines that begin with # are left out"):
            assert set(built("paths", name, "--separator", ">").short_leaves) == tree
    write("names.txt", "1 - a/x\n1 - a/y\nu\u2028v/w\x85z\n")  # no ids, as one is given twice
    assert built("paths", "names.txt").short_leaves == (("1 - a", "x"), ("1 - a", "y"), ("u\u2028v", "w\x85z"))


def test_pairs_with_line_breaks_another_separator_and_a_root_that_is_its_own_parent() -> None:
    write("pairs.csv", 'child;parent\nroot;root\n"lamp\nfloor";root\nA\u2028B;root\nNA;root\n01;root\n')
    leaves = built("edges", "pairs.csv", "--separator", ";").short_leaves
    assert leaves == (("root", "lamp\nfloor"), ("root", "A\u2028B"), ("root", "NA"), ("root", "01"))


def test_names_that_look_the_same_are_told_of() -> None:
    write("paths.txt", "a/owl\na/Owl\n")
    with pytest.warns(UserWarning, match="'owl' and 'Owl' differ only in case"):
        built("paths", "paths.txt")


def test_a_source_is_read_as_asked_for() -> None:
    write("rows.csv", "kind;name\na;owl\na;OWL\na;cod\na;?\n")
    reading = ["--reading.separator", ";", "--reading.missing", "?", "--reading.normalize"]
    with pytest.warns(UserWarning, match="another spelling"):
        taxonomy = built("columns", "rows.csv", "--columns", "kind", "name", *reading)
    assert taxonomy.short_leaves == (("a", "owl"), ("a", "cod"))


def test_repeated_names(capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.csv", "plant,state\napple,healthy\napple,scab\ngrape,healthy\n")
    columns = ["columns", "rows.csv", "--columns", "plant", "state"]
    message = refused(capsys, "taxonomy", "build", *columns, "--output", "out.yaml")
    assert "'healthy' stands under two parents" in message and "allow_repeated_names" in message
    assert built(*columns, "--allow_repeated_names").sizes == (2, 3)


@pytest.mark.parametrize(("kind", "name", "text", "parts"), [
    ("edges", "a.csv", "child,parent\nowl,bird\nowl,fish\n", ["line 3", "'fish'", "'bird' in line 2"]),
    ("edges", "a.csv", "child,parent\na,b\nb,a\n", ["a.csv", "circle"]),
    ("edges", "a.csv", "child,parent\n,b\n", ["line 2", "no name"]),
    ("edges", "a.csv", "kid,parent\na,b\n", ["'child'", "'kid'"]),
    ("edges", "a.csv", "", ["no column 'child'"]),
    ("edges", "a.csv", "child;parent\na;b\n", ["set separator to ';'"]),
    ("edges", "a.csv", 'child,parent\n"a,b\nc,d\n', ["quotation mark"]),
    ("paths", "a.txt", "a/b\na//c\n", ["line 2", "'a//c'", "empty name"]),
    ("paths", "a.txt", "a\nb\n", ["a.txt", "level 'l2' has no class of its own"]),
    ("paths", "a.txt", "", ["at least one leaf"]),
    ("paths", "a.csv", "text\na/b\n", ["no column 'label'", "--column"]),
    ("json", "a.json", '{"a": {"b": 3}}', ["below 'a'", "'b'", "got 3"]),
    ("json", "a.json", '{"a": ["b", "b"]}', ["below 'a'", "'b' is given twice"]),
    ("json", "a.json", '{"a": ["b"], "a": ["c"]}', ["'a' is given twice"]),
    ("json", "a.json", '{"a": ["b", 1]}', ["below 'a'", "got '1'"]),
    ("json", "a.json", '{"a":\n [b]}', ["line 2", "not valid JSON"]),
    ("json", "a.json", '"a"', ["expected names"]),
    ("json", "missing.json", None, ["missing.json cannot be read"]),
    ("folders", "missing", None, ["missing is not a folder"]),
    ("folders", "photos", None, ["no folders with files"]),
    ("columns", "a.csv", "a,b\nx,y\n", ["required: --columns"]),
])  # fmt: skip
def test_mistakes(kind: str, name: str, text: str | None, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos").mkdir()
    if text is not None:
        write(name, text)
    message = refused(capsys, "taxonomy", "build", kind, name, "--output", "out.yaml")
    assert all(part in message for part in parts), message
    assert not Path("out.yaml").exists()


def test_a_file_that_is_not_text(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refused(capsys, "taxonomy", "build", "json", "a.json", "--output", "out.yaml")


def test_no_file_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    write("paths.txt", "a/b\nc/d\n")
    write("out.yaml", "precious")
    args = ["taxonomy", "build", "paths", "paths.txt", "--output"]
    assert "--overwrite" in refused(capsys, *args, "out.yaml")
    assert Path("out.yaml").read_text() == "precious"
    assert "name a file in it" in refused(capsys, *args, ".", "--overwrite")
    assert "cannot be created" in refused(capsys, *args, "out.yaml/below/it.yaml")
