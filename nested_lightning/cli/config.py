"""Find, check and search the YAML files given with ``--config``."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nested_lightning.errors import ConfigurationError
from nested_lightning.utils.resources import resource
from nested_lightning.utils.yaml import compose

_MODULE = re.compile(r"(?<![\w./\\{-])([^\W\d]\w*)(?:\.[^\W\d]\w*)+(?![\w/\\])")  # the first part of a dotted name
CALLBACKS = ("cascade", "rejection", "temperature", "checkpoint", "figures", "wandb", "predictions")
"""Groups of options that are callbacks, which ``without`` can leave out."""
_GROUPS = ("model", "data", "trainer", *CALLBACKS)


class ConfigFile(NamedTuple):
    """A file, its options, the line of every dotted key, and every value as it is written."""

    path: str
    options: dict[str, Any]
    lines: dict[str, int]
    words: set[str]


class Configs(NamedTuple):
    """The arguments of a command, with ``--config`` followed by paths of existing files, and these files."""

    args: list[str]
    files: list[ConfigFile]

    def words(self) -> set[str]:
        """Return every value in the arguments and the files."""
        given = {word for argument in self.args for word in (argument, argument.partition("=")[2])}
        return given.union(*(file.words for file in self.files))

    def names_own_module(self) -> bool:
        """Return whether an option names something in a Python file or package of the working folder."""
        words = self.words()
        words |= {text for word in words if word.endswith((".yaml", ".yml", ".json")) and (text := _text(word))}
        words = {word for word in words if not word.startswith("-") and not os.path.isfile(word)}
        modules = {name for word in words for name in _MODULE.findall(word)}
        return any(os.path.isdir(name) or os.path.isfile(f"{name}.py") for name in modules)

    def locate(self, key: str) -> str:
        """Return ``"FILE, line N: "`` for a dotted key, of the last file that has it.

        ``""`` if no file has it, or the arguments give it another value. ``init_args`` and places in lists may be left
        out of keys; a key that is then in several items is that of the list.
        """
        key = _plain(key)
        given = [_plain(a[2:].partition("=")[0]) for a in self.args if a.startswith("--")]
        if any(f"{key}.".startswith(f"{name}.") for name in given):
            return ""
        found = [f"{file.path}, line {file.lines[key]}: " for file in self.files if key in file.lines]
        return found[-1] if found else ""


def open_configs(args: Sequence[str]) -> Configs:
    """Find and check the files of a command.

    A name such as ``recipes/mnist.yaml`` means the user's file, or else the one that comes with the package.

    Raises:
        ConfigurationError: a file is missing, is not valid YAML, gives a key twice, or holds no options.
    """
    found, files = list(args), []
    for i, argument in enumerate(args):
        name, is_joined, value = argument.partition("=")
        if name not in ("-c", "--config") or (not is_joined and i + 1 == len(args)):
            continue
        given = value if is_joined else args[i + 1]
        if "\n" in given or "://" in given:  # options themselves, or a file elsewhere
            continue
        path = str(resource(given))
        files.append(_read(path))
        found[i if is_joined else i + 1] = f"{name}={path}" if is_joined else path
    return Configs(found, files)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):  # not a file, or not a text
        return ""


def _read(path: str) -> ConfigFile:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        root, options = compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigurationError(
            f"{path}{f', line {mark.line + 1}' if mark else ''}: this is not valid YAML: "
            f"{error.problem or error.context}. Check indentation, brackets, quotes and colons"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read as a text in UTF-8: {error}") from error
    if not isinstance(options, dict) or root is None:
        raise ConfigurationError(
            f"{path} holds no options: expected keys such as 'data', 'model' and 'trainer', each followed by a colon"
        )
    lines: dict[str, int] = {}
    words: set[str] = set()
    for name, key, value in _entries(root):
        scalar = value.value if isinstance(value, yaml.ScalarNode) else None
        words |= set() if scalar is None else {scalar}
        if key is None:
            continue
        if problem := _problem(name, key, scalar, lines, os.path.dirname(path)):
            raise ConfigurationError(f"{path}, line {key.start_mark.line + 1}: {problem}")
        lines[name] = key.start_mark.line + 1
    names = Counter(map(_plain, lines))
    of_lists = {name: lines.get(re.split(r"\.\d+\.", name)[0], line) for name, line in lines.items()}
    plain = {_plain(n): line if names[_plain(n)] == 1 else of_lists[n] for n, line in reversed(lines.items())}
    return ConfigFile(path, options, plain, words)


def _problem(name: str, key: yaml.Node, scalar: str | None, lines: Mapping[str, int], folder: str) -> str:
    if name in lines:
        return f"the key {key.value!r} is given twice, first in line {lines[name]}: join the two"
    if key.value == "":
        return "a key is empty: name the option"
    is_file = any(os.path.isfile(os.path.join(place, scalar or "")) for place in ("", folder))
    if name in _GROUPS and scalar is not None and not is_file:
        out = f". To leave the callback out: without: [{name}]" if name in CALLBACKS else ""
        return f"{name!r} is followed by {scalar!r}: indent its options, or remove the key{out}"
    return ""


def _entries(node: yaml.Node, above: str = "") -> Iterator[tuple[str, yaml.Node | None, yaml.Node]]:
    """Yield the dotted name, the key (None in a list) and the value of every entry below a node."""
    for i, entry in enumerate(node.value if isinstance(node, yaml.CollectionNode) else ()):
        key, value = entry if isinstance(entry, tuple) else (None, entry)
        name = f"{above}.{i if key is None else key.value}".lstrip(".")
        yield name, key, value
        yield from _entries(value, name)


def _plain(key: str) -> str:
    """Return a dotted key without ``init_args`` and numbers of items, except those at its end."""
    return re.sub(r"\.init_args(?=\.|$)|\.\d+(?=\.)", "", key)
