"""One clear message out of what the parser of the command line has to say."""

import inspect
import re
from collections.abc import Iterable
from importlib import import_module

from jsonargparse import ArgumentParser

from nested_lightning.errors import suggestion

_UNKNOWN_KEY = re.compile(
    r"does not accept (?:nested key|option|key) '([^']+)'|unrecognized arguments: --?([\w.\-]+)"
)
_UNKNOWN_INNER_KEY = re.compile(r"(?:Option|Key|Group key) '([^']+)' is not (?:accepted|expected)")
_UNKNOWN_COMMAND = re.compile(r"invalid choice: '([^']+)' \(choose from ([^)]*)\)")
_CLASS_PATH = re.compile(
    r"(?:class_path['\"]?: ['\"]?|--\S+\.help |[Cc]lass )([A-Za-z_][\w.]*\.[A-Za-z_]\w*)"
)


def explain(message: str, parsers: Iterable[ArgumentParser]) -> str:
    """Return the parser's ``message`` in one line, with the nearest valid key where a key is unknown."""
    if match := _UNKNOWN_KEY.search(message):
        key = match.group(1) or match.group(2)
        known = {action.dest for parser in parsers for action in parser._actions}
        return f"unknown option '{key}'.{_nearest(key, known)} All options: lightning fit --help"
    if match := _UNKNOWN_INNER_KEY.search(message):
        key = match.group(1).rpartition(".")[2]
        place = re.search(r'Parser key "([^"]+)"', message)
        owners = [name for name in _CLASS_PATH.findall(message) if _parameters(name)]
        known = {parameter for owner in owners for parameter in _parameters(owner)}
        listed = f" It takes {', '.join(sorted(known))}." if known else ""
        where = f" of '{place.group(1)}'" if place else ""
        return f"unknown option '{key}'{where}.{suggestion(key, known)}{listed}"
    if match := _UNKNOWN_COMMAND.search(message):
        commands = re.findall(r"[\w-]+", match.group(2))
        near = suggestion(match.group(1), commands)
        return f"unknown command '{match.group(1)}'.{near} There are {', '.join(commands)}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("usage:", "[", "-"))]
    return " ".join(lines) if len(lines) <= 6 else " ".join([*lines[:2], "...", *lines[-3:]])


def _nearest(key: str, known: set[str]) -> str:
    """Compare the whole dotted key, then its last part among the options of the same group."""
    group = key.rpartition(".")[0]
    return suggestion(key, [k for k in known if k.rpartition(".")[0] == group]) or suggestion(key, known)


def _parameters(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    try:
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError, TypeError):
        return []
    return list(parameters)
