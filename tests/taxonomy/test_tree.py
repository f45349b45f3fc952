"""The plain tree: indices, lookup by name, and what is refused as a tree."""

import pytest

from nested_lightning.errors import TaxonomyError
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.taxonomy.tree import Tree


@pytest.fixture
def animals() -> Taxonomy:
    return Taxonomy.from_paths(["animal/cat", "stone", "animal/dog", "plant/cat"], ["kind", "species"])


def test_indices_follow_the_first_appearance(animals: Taxonomy) -> None:
    assert animals.sizes == (3, 4)
    assert animals.nodes(0) == (("animal",), ("stone",), ("plant",))
    assert animals.names(1) == ("cat", "stone", "dog", "cat")
    assert animals.parents(1).tolist() == [0, 1, 0, 2]
    assert animals.leaves == animals.nodes(-1) == animals.nodes(1)


def test_an_only_child_of_another_name_is_not_carried() -> None:
    taxonomy = Taxonomy(["a", "b"], [["x", "y"], ["z", "z"], ["z", "w"]])
    assert taxonomy.target(["x"]) == [0, -1]
    assert taxonomy.target(["z"]) == [1, -1]  # it has a child of its own name, but not only this one


def test_find_takes_names_and_paths(animals: Taxonomy) -> None:
    assert animals.find("dog") == ("animal", "dog")
    assert animals.find("plant/cat") == ("plant", "cat")
    assert animals.find("plant") == ("plant",)
    slash = Taxonomy(["a", "b"], [["top", "T - shirt / top"], ["x", "y"], ["z", "x/y"]])
    assert slash.find("T - shirt / top") == ("top", "T - shirt / top")
    assert slash.find("top/T - shirt / top") == ("top", "T - shirt / top")
    assert slash.find("x/y") == ("z", "x/y")  # a name wins over a path


@pytest.fixture
def plants() -> Taxonomy:
    paths = [
        "vine/grape/healthy",
        "vine/grape/rot/black",
        "rose/apple/healthy",
        "gift",
        "rose/gift/new",
        "rose/gift/old",
    ]
    return Taxonomy.from_paths(paths, ["family", "species", "health", "kind"])


def test_a_carried_leaf_has_its_own_path_and_the_shortest_name_that_tells_it_apart(plants: Taxonomy) -> None:
    assert plants.short_nodes(3)[:4] == (
        ("vine", "grape", "healthy"), ("vine", "grape", "rot", "black"), ("rose", "apple", "healthy"), ("gift",),
    )  # fmt: skip
    assert plants.unambiguous_names(3) == ("grape/healthy", "black", "apple/healthy", "gift", "new", "old")
    assert plants.unambiguous_names(2) == ("grape/healthy", "rot", "apple/healthy", "gift", "new", "old")
    assert plants.unambiguous_names(1) == ("grape", "apple", "gift", "rose/gift")  # one is the end of the other
    assert plants.unambiguous_names(0) == plants.names(0)


def test_own_paths_of_carried_leaves_are_found_at_every_level(plants: Taxonomy) -> None:
    for label in ("vine/grape/healthy", "vine/grape/healthy/healthy"):
        assert plants.find(label, 3) == ("vine", "grape", "healthy", "healthy")
        columns = {"family": ["vine"], "kind": [label]}
        assert plants.targets_from_columns(columns).tolist() == [plants.target(plants.find("vine/grape/healthy"))]
    assert plants.find("vine/grape/healthy") == ("vine", "grape", "healthy")
    with pytest.raises(TaxonomyError, match=r"'vine/grape/healthy' \(level 'kind'\) or 'rose/apple/healthy' \(level"):
        plants.find("healthy", 3)
    with pytest.raises(TaxonomyError, match=r"under 'vine/grape' and under 'rose/apple'.*such as 'vine/grape/healthy'"):
        plants.targets_from_columns({"kind": ["healthy"]})


PATHS = [["a", "x"], ["b", "y"]]


@pytest.mark.parametrize(
    ("levels", "leaves", "message"),
    [
        (["only"], PATHS, r"at least 2 level names.*got \['only'\]"),
        ("ab", PATHS, r"at least 2 level names.*got \['ab'\]"),
        (["l", "l"], PATHS, r"level name 'l' is given twice.*Rename"),
        (["l", ""], PATHS, r"name of level 1 must be a text and not empty, got ''"),
        (["l", 3], PATHS, r"name of level 1 must be a text and not empty, got 3"),
        (["l", "m"], [], r"at least one leaf"),
        (["l", "m"], [["a", ""]], r"\('a', ''\) has an empty name"),
        (["l", "m"], [["a", 3]], r"\('a', 3\) has an empty name, or one that is not text"),
        (["l", "\ud800"], PATHS, r"name of level 1 must be a text and not empty, got '\\ud800'"),
        ([f"l{i}" for i in range(101)], PATHS, r"at most 100 level names.*got .*and 96 more"),
        (3, PATHS, r"at least 2 level names.*got \[3\]"),
        (["l", "m"], 3, r"leaves as a list of paths.*got 3"),
        (["l", "m"], "ab", r"leaves as a list of paths.*got 'ab'"),
        (["l", "m"], [None], r"path of a leaf as a sequence of names.*got None"),
        (["l", "m"], [["a", "\udfff"]], r"has an empty name, or one that is not text in Unicode"),
        (["l", "m"], ["a/b"], r"got the text 'a/b'.*from_paths"),
        (["l", "m"], [[]], r"has 0 names, but there are 2 levels \(l, m\)"),
        (["l", "m"], [["a", "b", "c"]], r"'a/b/c' has 3 names, but there are 2 levels \(l, m\)"),
        (["l", "m"], [["a"], ["b"]], r"level 'm' has no class of its own.*Remove the level, or split"),
        (["l", "m", "n"], PATHS, r"level 'n' has no class of its own.*of level 'm'"),
        (["l", "m"], [*PATHS, ["a", "x"]], r"'a/x' is given twice"),
        (["l", "m"], [*PATHS, ["c"], ["c", "c"]], r"'c/c' is given twice"),
        (["l", "m"], [*PATHS, ["a"]], r"'a' is given both as a leaf and as the parent of 'x'.*'other'"),
        (["l", "m", "n"], [["a", "a"], ["a", "a", "b"]], r"'a/a' is given both as a leaf and .* of 'b'"),
    ],
)
def test_invalid_trees(levels: list[str], leaves: list[list[str]], message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy(levels, leaves)


def test_labels_that_do_not_fit(animals: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match=r"no class 'dig'\. Did you mean 'dog'\?"):
        animals.find("dig")
    with pytest.raises(TaxonomyError, match=r"no class 'xyzzy' at level 'kind'\. It has 'animal', 'stone', 'plant'"):
        animals.find("xyzzy", level=0)
    with pytest.raises(
        TaxonomyError,
        match=r"'cat' is ambiguous: it can be 'animal/cat' \(level 'species'\) or 'plant/cat' .*"
        r"whole path, such as 'plant/cat'",
    ):
        animals.find("cat")
    many = Taxonomy(["a", "b"], [[str(i), "same"] for i in range(9)])
    with pytest.raises(TaxonomyError, match=r"'3/same' \(level 'b'\) or 5 more"):
        many.find("same")
    with pytest.raises(TaxonomyError, match=r"no class 'animal/dig' at level 'species'.*'animal/dog'"):
        animals.index(["animal", "dig"])
    for wrong in ("dog", [], ["a", "b", "c"]):
        with pytest.raises(TaxonomyError, match=r"path of 1 to 2 names such as \('animal', 'cat'\).*find\(\)"):
            animals.target(wrong)


@pytest.mark.parametrize("label", ["a > z", "a>z", "a::z", "a|z", "a\\z"])
def test_a_path_with_another_separator_is_recognised(label: str) -> None:
    with pytest.raises(
        TaxonomyError, match=r"separate names\? Set reading.path_separator, or build the tree with keep_labels"
    ):
        Tree(["l1", "l2"], [["a", "x"], ["a", "y"]]).find(label)
