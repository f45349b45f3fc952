"""Read and write taxonomies as YAML, with errors that name the line, and draw the tree as text."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as File
from typing import Any

import yaml

from nested_lightning.errors import TaxonomyError, suggestion
from nested_lightning.taxonomy.tree import Path
from nested_lightning.utils.files import replacing
from nested_lightning.utils.yaml import compose

Branch = dict[str, Any]  # name -> the branch below it; empty below a leaf
_FORMS = ("tree", "leaves")
_NOTHING = yaml.ScalarNode("", "")  # what is below an item of a list


def nested(leaves: Iterable[Path]) -> Branch:
    """Return leaf paths as nested dicts.

    Example:
        >>> nested([("a", "x"), ("b",)])
        {'a': {'x': {}}, 'b': {}}
    """
    root: Branch = {}
    for path in leaves:
        branch = root
        for name in path:
            branch = branch.setdefault(name, {})
    return root


def drawn(leaves: Iterable[Path]) -> Iterator[str]:
    """Yield the lines of a drawing of the tree with these leaves."""
    return _drawn(nested(leaves), "")


def _drawn(branch: Branch, indent: str) -> Iterator[str]:
    for number, (name, below) in enumerate(branch.items(), start=1):
        is_last = number == len(branch)
        yield f"{indent}{'└──' if is_last else '├──'} {name}"
        yield from _drawn(below, indent + ("    " if is_last else "│   "))


def write_yaml(path: str | os.PathLike[str], levels: Sequence[str], leaves: Sequence[Path]) -> None:
    """Write levels and tree, or a list of leaf paths if a tree could not keep the order of the leaves.

    Raises:
        WriteError: the file system refuses.
    """
    tree = nested(leaves)
    in_order = list(_flat(tree, ())) == list(leaves)
    content = {"levels": list(levels)} | ({"tree": _plain(tree)} if in_order else {"leaves": list(map(list, leaves))})
    text = yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=None)
    with replacing(path, "choose another file") as temporary:
        File(temporary).write_text(text, encoding="utf-8", newline="\n")


class _Dumper(yaml.SafeDumper):
    """Writes names with line breaks of any kind so that they are read back exactly."""


def _write_name(dumper: yaml.SafeDumper, name: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", name, style=None if name.isprintable() else '"')


_Dumper.add_representer(str, _write_name)


def _flat(branch: Branch, above: Path) -> Iterator[Path]:
    for name, below in branch.items():
        yield from _flat(below, (*above, name)) if below else [(*above, name)]


def _plain(branch: Branch) -> Any:
    """Return the branch as it is written: a list if all its entries are leaves, else ``None`` below a leaf."""
    if not any(branch.values()):
        return list(branch)
    return {name: _plain(below) if below else None for name, below in branch.items()}


def read_yaml(path: str | os.PathLike[str]) -> tuple[list[str], list[Path]]:
    """Return the level names and leaf paths of a file.

    Raises:
        TaxonomyError: naming file and line.
    """
    return _Document(os.fspath(path)).read()


class _Document:
    """A YAML file as nodes, which keep the text as written (``no``, ``1.0``), line numbers, and duplicate keys."""

    def __init__(self, file: str) -> None:
        self.file = file

    def read(self) -> tuple[list[str], list[Path]]:
        root = self.root()
        if not isinstance(root, yaml.MappingNode):
            raise self.error(root, "expected the keys 'levels' and 'tree'")
        parts: dict[str, yaml.Node] = {}
        for name, key, part in self.named(root, ()):
            if name not in ("levels", *_FORMS):
                near = suggestion(name, ("levels", *_FORMS)) or " Remove it, or indent it below 'tree'"
                raise self.error(key, f"unknown key '{name}', expected 'levels' and 'tree'.{near}")
            parts[name] = part
        if "levels" not in parts:
            raise self.error(root, "the key 'levels' is missing. Add for example: levels: [coarse, fine]")
        if len(parts) != 2:
            raise self.error(root, "expected one of the keys 'tree' and 'leaves' beside 'levels'")
        levels = self.names(parts["levels"], "levels")
        if "tree" in parts:
            return levels, list(self.walk(parts["tree"], (), levels))
        if not isinstance(leaves := parts["leaves"], yaml.SequenceNode):
            raise self.error(leaves, "expected below 'leaves' a list of paths such as [animal, cat]")
        return levels, [tuple(self.names(leaf, "path")) for leaf in leaves.value]

    def root(self) -> yaml.Node:
        # The C parser is much faster, but missing in some installations of PyYAML.
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        try:
            with open(self.file, encoding="utf-8-sig") as file:
                root = compose(file.read(), loader)
        except OSError as error:
            raise TaxonomyError(f"cannot read the taxonomy {self.file}: {error.strerror}. Check the path") from None
        except UnicodeDecodeError as error:
            raise TaxonomyError(f"{self.file} is not text in UTF-8 ({error.reason}). Save it as UTF-8") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise TaxonomyError(
                f"{self.file}{line}: this is not valid YAML: {problem}. Check indentation, brackets and "
                "colons, and put names with special characters in quotes"
            ) from None
        if root is None:
            raise TaxonomyError(f"{self.file} is empty, expected the keys 'levels' and 'tree'")
        return root

    def walk(self, node: yaml.Node, above: Path, levels: Sequence[str]) -> Iterator[Path]:
        for name, key, below in self.named(node, above):
            path = (*above, name)
            if len(path) > len(levels):
                raise self.error(
                    key,
                    f"'{'/'.join(path)}' is {len(path)} levels deep, but there are {len(levels)}: "
                    f"{', '.join(levels)}. Add a level name, or remove a layer of the tree",
                )
            # A quoted null is a text.
            is_leaf = isinstance(below, yaml.ScalarNode) and not below.style
            is_leaf = is_leaf and below.value in ("", "~", "null", "Null", "NULL")
            yield from [path] if is_leaf else self.walk(below, path, levels)

    def named(self, node: yaml.Node, above: Path) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield name, key and the node below it for each entry of a mapping or list."""
        lines: dict[str, int] = {}
        for key, below in self.entries(node, above):
            name = self.text(key, f"name below '{'/'.join(above)}'" if above else "name")
            if name in lines:
                raise self.error(
                    key,
                    f"'{'/'.join((*above, name))}' is given twice, first in line {lines[name]}. Remove or "
                    "rename one of them",
                )
            lines[name] = key.start_mark.line + 1
            yield name, key, below

    def entries(self, node: yaml.Node, above: Path) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        if isinstance(node, yaml.ScalarNode) or not node.value:
            raise self.error(
                node,
                f"expected a list or keys below '{'/'.join(above) or 'tree'}', got "
                f"{node.value or 'nothing'!r}. Write [name] for a single class below it, and nothing after "
                "the colon of a leaf",
            )
        for item in [node] if isinstance(node, yaml.MappingNode) else node.value:
            yield from item.value if isinstance(item, yaml.MappingNode) else [(item, _NOTHING)]

    def names(self, node: yaml.Node, what: str) -> list[str]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(node, f"expected for '{what}' a list of names such as [coarse, fine]")
        return [self.text(item, f"name in '{what}'") for item in node.value]

    def text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, f"expected a {what}, got a list or keys. Write one name per item")
        if not node.value:
            raise self.error(node, f"a {what} is empty. Write the name of a class")
        return str(node.value)

    def error(self, node: yaml.Node, message: str) -> TaxonomyError:
        return TaxonomyError(f"{self.file}, line {node.start_mark.line + 1}: {message}")
