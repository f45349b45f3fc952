"""The YAML files given with ``--config``: found, checked before they are parsed, and searched for a key's line."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy.yaml import compose
from nested_lightning.utils.resources import resource

_GROUPS = ("model", "data", "trainer", "cascade", "rejection", "temperature", "checkpoint")
_TAG = "tag:yaml.org,2002:"


class ConfigFile(NamedTuple):
    """A file with the nodes it is made of, which know their lines."""

    path: str
    root: yaml.Node


class Configs(NamedTuple):
    """The arguments of a command, every ``--config`` in them being the path of a file there is, and these files."""

    args: list[str]
    files: list[ConfigFile]

    def words(self) -> set[str]:
        """Return every value in the arguments and the files."""
        given = {word for argument in self.args for word in (argument, argument.partition("=")[2])}
        return given.union(*(_words(file.root) for file in self.files))

    def locate(self, key: str) -> str:
        """Return ``"FILE, line N: "`` for a dotted key, of the last file that has it.

        ``""`` if no file has it, or the arguments give it another value. ``init_args`` may be left out of keys.
        """
        parts = _parts(key)
        given = [_parts(argument.partition("=")[0][2:]) for argument in self.args if argument.startswith("--")]
        if any(name and name == parts[: len(name)] for name in given):
            return ""
        for file in reversed(self.files):
            if (line := _line(file.root, parts)) is not None:
                return f"{file.path}, line {line}: "
        return ""


def open_configs(args: Sequence[str]) -> Configs:
    """Find and check the files of a command.

    A name such as ``recipes/mnist.yaml`` means one's own file, or else the one that comes with the package.

    Raises:
        ConfigurationError: a file is missing, is no YAML, gives a key twice, or holds other things than plain options.
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
        files.append(ConfigFile(path, _read(path)))
        found[i if is_joined else i + 1] = f"{name}={path}" if is_joined else path
    return Configs(found, files)


def _parts(key: str) -> list[str]:
    return [part for part in key.split(".") if part and part != "init_args"]


def _words(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.ScalarNode):
        yield node.value
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _words(value)
    else:
        for item in node.value:
            yield from _words(item)


def _line(node: yaml.Node, parts: Sequence[str]) -> int | None:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        below = list(parts) if key.value == "init_args" else list(parts[1:])
        if key.value in (parts[0], "init_args"):
            line = _line(value, below) if below else key.start_mark.line + 1
            if line is not None:
                return int(line)
    return None


def _read(path: str) -> yaml.Node:
    try:
        with open(path, encoding="utf-8-sig") as file:
            root = compose(file.read(), yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"{path}{line}: this is no valid YAML: {error.problem or error.context}. Check indentation, "
            "brackets, quotes and colons"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no text in UTF-8 ({error}): save it as such") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(
            f"{path} holds no options: expected keys such as 'data', 'model' and 'trainer', each followed by a colon"
        )
    for key, first in _repeated(root):
        raise ConfigurationError(
            f"{path}, line {key.start_mark.line + 1}: the key {key.value!r} is given twice, first in line "
            f"{first.start_mark.line + 1}, and only the last would count: join the two"
        )
    for node, problem in _wrong(root):
        raise ConfigurationError(f"{path}, line {node.start_mark.line + 1}: {problem}")
    return root


def _wrong(root: yaml.MappingNode) -> Iterator[tuple[yaml.Node, str]]:
    """Yield every node that no options can have, with what is wrong with it."""
    for key, value in root.value:
        if key.value in _GROUPS and isinstance(value, yaml.ScalarNode) and value.tag != f"{_TAG}str":
            yield value, f"{key.value!r} has no options below it, but {value.value!r}: indent them, or remove the key"
    nodes: list[yaml.Node] = [root]
    for node in nodes:
        if not node.tag.startswith(_TAG) or node.tag.startswith(f"{_TAG}python"):
            yield (
                node,
                f"the tag {node.tag!r} is not allowed: options are plain values, and classes are given by class_path",
            )
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "":
                    yield key, "a key is empty: name the option"
                nodes += [key, value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def _repeated(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield every key that its mapping already has, with the first of the two."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and seen.setdefault(key.value, key) is not key:
                yield key, seen[key.value]
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)
