"""Find, check and search the YAML files given with ``--config``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy.yaml_nodes import compose
from nested_lightning.utils.resources import resource

_GROUPS = ("model", "data", "trainer", "cascade", "rejection", "temperature", "checkpoint")


class ConfigFile(NamedTuple):
    """A file, its options, and the nodes they were read from, which know their lines."""

    path: str
    options: dict[str, Any]
    root: yaml.MappingNode


class Configs(NamedTuple):
    """The arguments of a command, with ``--config`` followed by paths of existing files, and these files."""

    args: list[str]
    files: list[ConfigFile]

    def words(self) -> set[str]:
        """Return every value in the arguments and the files."""
        given = {word for argument in self.args for word in (argument, argument.partition("=")[2])}
        nodes = (node for file in self.files for node in _nodes(file.root))
        return given | {node.value for node in nodes if isinstance(node, yaml.ScalarNode)}

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


def _parts(key: str) -> list[str]:
    return [part for part in key.split(".") if part and part != "init_args"]


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the node and every key and value below it."""
    yield root
    for item in root.value if isinstance(root, yaml.CollectionNode) else ():
        for node in item if isinstance(item, tuple) else (item,):
            yield from _nodes(node)


def _line(node: yaml.Node, parts: Sequence[str]) -> int | None:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        below = list(parts) if key.value == "init_args" else list(parts[1:])
        if key.value in (parts[0], "init_args"):
            line = _line(value, below) if below else key.start_mark.line + 1
            if line is not None:
                return int(line)
    return None


def _read(path: str) -> ConfigFile:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        root, options = compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigurationError(
            f"{path}{line}: this is not valid YAML: {error.problem or error.context}. Check indentation, "
            "brackets, quotes and colons"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not a text in UTF-8 ({error}): save it as such") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(options, dict) or not isinstance(root, yaml.MappingNode):
        raise ConfigurationError(
            f"{path} holds no options: expected keys such as 'data', 'model' and 'trainer', each followed by a colon"
        )
    for node, problem in _problems(root, Path(path).parent):
        raise ConfigurationError(f"{path}, line {node.start_mark.line + 1}: {problem}")
    return ConfigFile(path, options, root)


def _problems(root: yaml.MappingNode, folder: Path) -> Iterator[tuple[yaml.Node, str]]:
    """Yield the nodes that cannot be options, each with the problem."""
    for mapping in _nodes(root):
        first: dict[str, yaml.Node] = {}
        for key, _ in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
            if key.value == "":
                yield key, "a key is empty: name the option"
            if first.setdefault(key.value, key) is not key:
                line = first[key.value].start_mark.line + 1
                yield key, f"the key {key.value!r} is given twice, first in line {line}: join the two"
    for key, value in root.value:
        if key.value not in _GROUPS or not isinstance(value, yaml.ScalarNode):
            continue
        if not any((place / value.value).is_file() for place in (folder, Path())):
            yield value, f"{key.value!r} is followed by {value.value!r}: indent its options, or remove the key"
