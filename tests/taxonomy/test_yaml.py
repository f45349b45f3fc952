"""Taxonomies as files: what is understood, what the errors say, and files that would fill the memory."""

import errno
import random
from pathlib import Path as File

import pytest
import yaml

from nested_lightning.cli.config import open_configs
from nested_lightning.errors import ConfigurationError, TaxonomyError, WriteError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.yaml import compose


def read(folder: File, text: str, name: str = "mine.yaml") -> Taxonomy:
    (folder / name).write_text(text, encoding="utf-8")
    return Taxonomy.from_yaml(folder / name)


def test_names_are_the_text_as_written(tmp_path: File) -> None:
    tree = 'tree:\n  no: [1, 1.0, 0x1F, 2024-01-01, null, "Null", on]\n  3:\n    - ~\n'
    taxonomy = read(tmp_path, "levels: [1, yes]\n" + tree)
    assert taxonomy.levels == ("1", "yes")
    assert taxonomy.names(0) == ("no", "3")
    assert taxonomy.names(1) == ("1", "1.0", "0x1F", "2024-01-01", "null", "Null", "on", "~")


def test_leaves_may_be_items_or_keys_at_any_level(tmp_path: File) -> None:
    tree = """
levels: [a, b, c]
tree:
  items: [x, y]
  keys:
    u:
    v: null
    w: ~
  both:
    - p
    - q: [r, s]
      t:
  leaf:
"""
    leaves = ["items/x", "items/y", "keys/u", "keys/v", "keys/w", "both/p", "both/q/r", "both/q/s", "both/t", "leaf"]
    assert ["/".join(leaf) for leaf in read(tmp_path, tree).short_leaves] == leaves


def test_written_for_people(tmp_path: File) -> None:
    Taxonomy(["kind", "species"], [["animal", "cat"], ["animal", "1"], ["stone"]]).to_yaml(tmp_path / "t.yaml")
    text = (tmp_path / "t.yaml").read_text(encoding="utf-8")
    assert text == "levels: [kind, species]\ntree:\n  animal: [cat, '1']\n  stone: null\n"


def test_an_order_that_no_tree_has_is_kept(tmp_path: File) -> None:
    taxonomy = Taxonomy(["l", "m"], [["a", "x"], ["b", "y"], ["a", "z"]])
    taxonomy.to_yaml(tmp_path / "t.yaml")
    assert "leaves:" in (tmp_path / "t.yaml").read_text(encoding="utf-8")
    assert Taxonomy.from_yaml(tmp_path / "t.yaml").names(1) == ("x", "y", "z")


def test_marks_and_line_ends_of_other_editors(tmp_path: File) -> None:
    (tmp_path / "t.yaml").write_bytes("\ufefflevels: [l, m]\r\ntree:\r\n  a: [x, y]\r\n".encode())
    assert Taxonomy.from_yaml(tmp_path / "t.yaml").names(1) == ("x", "y")


def test_long_names_and_wide_trees(tmp_path: File) -> None:
    letters = random.Random(0)
    names = ["".join(letters.choices("ab :,'\"\n#", k=300)) + str(i) for i in range(50)]
    taxonomy = Taxonomy(["l", "m"], [[names[i % 3], name] for i, name in enumerate(sorted(names))])
    taxonomy.to_yaml(tmp_path / "t.yaml")
    assert Taxonomy.from_yaml(tmp_path / "t.yaml") == taxonomy


HEAD = "levels: [l, m]\ntree:\n"


@pytest.mark.parametrize(("text", "message"), [
    (HEAD + "  a: [x]\n  b: [y]\n  a: [z]\n", r"line 5: 'a' is given twice, first in line 3\. Remove or rename"),
    (HEAD + "  a:\n    - x\n    - x\n", r"line 5: 'a/x' is given twice, first in line 4"),
    (HEAD + "  a: [x]\n  b:\n    y: [z]\n", r"line 5: 'b/y/z' is 3 levels deep, but there are 2: l, m"),
    (HEAD + "  a: [x, '']\n", r"line 3: a name below 'a' is empty"),
    (HEAD + "  '': [x]\n", r"line 3: a name is empty"),
    (HEAD + "  a: x\n", r"line 3: expected a list or keys below 'a', got 'x'\. Write \[name\]"),
    (HEAD + "  a: 'null'\n", r"line 3: expected a list or keys below 'a', got 'null'"),
    (HEAD + "  a: []\n", r"line 3: expected a list or keys below 'a', got 'nothing'"),
    (HEAD + "  a:\n    - [x, y]\n", r"line 4: expected a name below 'a', got a list"),
    (HEAD + "  ? [x]\n  : y\n", r"line 3: expected a name, got a list or keys"),
    (HEAD + "  a: &loop\n    b: *loop\n", r"line 4: .*the alias \*loop contains itself"),
    (HEAD + "  a: &loop\n    - *loop\n", r"line 4: .*the alias \*loop contains itself"),
    (HEAD + "  a: [x\n", r"line \d: this is not valid YAML: .*Check indentation"),
    (HEAD + "  a: [x]\n b: [y]\n", r"line 4: this is not valid YAML"),
    (HEAD + "  a: \x07\n", r"this is not valid YAML: unacceptable character #x0007.*special"),
    ("levels: [l, m]\ntree:\n", r"line 2: expected a list or keys below 'tree', got 'nothing'"),
    ("levels: [l, m]\n", r"line 1: expected one of the keys 'tree' and 'leaves' beside 'levels'"),
    ("tree: {a: [x]}\n", r"line 1: the key 'levels' is missing\. Add for example: levels: \[coarse, fine\]"),
    ("levels: [l, m]\ntree: {a: [x]}\nleaves: [[a, x]]\n", r"expected one of the keys 'tree' and 'leaves'"),
    ("levels: [l, m]\ntre: {a: [x]}\n", r"line 2: unknown key 'tre', .*Did you mean 'tree'\?"),
    ("levels: [l, m]\na: [x]\n", r"line 2: unknown key 'a', .*indent it below 'tree'"),
    ("levels: l\ntree: {a: [x]}\n", r"line 1: expected for 'levels' a list of names"),
    ("levels: [l, '']\ntree: {a: [x]}\n", r"line 1: a name in 'levels' is empty"),
    ("levels:\ntree: {a: [x]}\n", r"line 1: expected for 'levels' a list of names"),
    ("levels: [l, m]\nleaves: x\n", r"line 2: expected below 'leaves' a list of paths"),
    ("levels: [l, m]\nleaves: [x]\n", r"line 2: expected for 'path' a list of names"),
    ("levels: [l, m]\nleaves: [[a, x], [a, x]]\n", r"mine.yaml: the path 'a/x' is given twice"),
    ("levels: [l, l]\ntree: {a: [x]}\n", r"mine.yaml: the level name 'l' is given twice"),
    ("levels: [l, m]\ntree: [a, b]\n", r"mine.yaml: level 'm' has no class of its own"),
    ("levels\n", r"line 1: expected the keys 'levels' and 'tree'"),
    ("- levels\n- tree\n", r"line 1: expected the keys 'levels' and 'tree'"),
    ("# nothing\n", r"is empty, expected the keys 'levels' and 'tree'"),
])  # fmt: skip
def test_errors_name_file_and_line(tmp_path: File, text: str, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message) as raised:
        read(tmp_path, text)
    assert "mine.yaml" in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: File) -> None:
    with pytest.raises(TaxonomyError, match=r"cannot read the taxonomy .*absent\.yaml: No such file"):
        Taxonomy.from_yaml(tmp_path / "absent.yaml")
    with pytest.raises(TaxonomyError, match="cannot read the taxonomy"):
        Taxonomy.from_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("levels: [größe, m]".encode("latin-1"))
    with pytest.raises(TaxonomyError, match=r"latin\.yaml is not text in UTF-8.*Save it as UTF-8"):
        Taxonomy.from_yaml(tmp_path / "latin.yaml")


def test_a_full_disk_leaves_no_empty_file(tmp_path: File, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: File, *args: object, **options: object) -> None:
        file.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(File, "write_text", full)
    with pytest.raises(WriteError, match=r"No space left on device.*free some space or choose another file"):
        Taxonomy.from_paths(["a/b", "c/d"]).to_yaml(tmp_path / "tree.yaml")
    assert list(tmp_path.iterdir()) == []


LAUGHS = "\n".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else 'x'] * 9)}]" for i in range(9))
BOMBS = {
    LAUGHS: r"line 6: .*aliases stand for more than 100,000 values",
    "a: &a\n  - *a\n": r"line 2: .*the alias \*a contains itself",
    "a: &a\n  b: &b [*a]\n": r"line 2: .*the alias \*a contains itself",
    "a: " + "[" * 300 + "]" * 300: r"line 1: .*nested more than 100 deep",
    "".join(f"{' ' * i}a:\n" for i in range(5000)): r"line 101: .*nested more than 100 deep",
}


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_are_named_where_files_are_read(text: str, tmp_path: File) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=BOMBS[text]):
        open_configs(["fit", f"--config={file}"])
    with pytest.raises(TaxonomyError, match=BOMBS[text]):
        Taxonomy.from_yaml(file)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CBaseLoader", yaml.BaseLoader)])
def test_anything_else_is_read_as_ever(loader: type) -> None:
    below = "{k: " * 98 + "v" + "}" * 98
    text = f"a: &a [1, &b two, *b]\nc: [*a, *a]\nd: &d {below}\ne: *d\n"
    assert yaml.serialize(compose(text, loader)) == yaml.serialize(yaml.compose(text, Loader=loader))
    assert compose("# nothing\n", loader) is None
    with pytest.raises(yaml.YAMLError, match="undefined alias"):
        compose("a: *b\n", loader)
