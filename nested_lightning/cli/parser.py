"""Run typed functions as commands, with every mistake in one line.

``jsonargparse.auto_cli`` writes lists as ``[a,b]`` and flags as ``--flag true``; these commands take ``RUN [RUN ...]``
and ``--flag``.
"""

import inspect
import re
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, NoReturn, get_args, get_origin

import docstring_parser

from nested_lightning.errors import ConfigurationError, suggestion

Command = Callable[..., None]
Commands = Mapping[str, "Command | Commands"]


def run_command(command: Command | Commands, args: Sequence[str], prog: str, description: str = "") -> None:
    """Parse the arguments and call a function with them.

    Keyword-only parameters of the function are options, ``--dry_run`` or ``--dry-run``, and the others positional
    arguments. A bool is a flag, a list takes one or more values, and a dataclass has one option for each of its fields,
    ``--reading.encoding``. The help is the docstring of function or dataclass.

    Args:
        command: the function, or functions by name, which makes them subcommands; names may be nested.
        args: the arguments after the command's name.
        prog: the command's full name, for the help and for messages.
        description: the help of a command that has subcommands.

    Raises:
        ConfigurationError: an argument is unknown, missing or of the wrong type.
        SystemExit: after ``--help``.

    Example:
        >>> def greet(names: list[str], *, shout: bool = False) -> None:
        ...     print(" and ".join(names).upper() if shout else " and ".join(names))
        >>> run_command(greet, ["Ann", "Bob", "--shout"], "greet")
        ANN AND BOB
    """
    parser = CommandParser(prog, description=description)
    _add(parser, command)
    options, unknown = parser.parse_known_args(args)
    values = vars(options)
    chosen, function = values.pop("parser"), values.pop("function")
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
    for name, given in inspect.signature(function).parameters.items():
        if isinstance(kind := given.annotation, type) and is_dataclass(kind):
            fields = {key: values.pop(key) for key in list(values) if key.startswith(f"{name}.")}
            values[name] = kind(**{key.partition(".")[2]: value for key, value in fields.items()})
    function(**values)


class CommandParser(ArgumentParser):
    """Raises one exception for a mistake; accepts no abbreviations, which would change when options are added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})
        self.set_defaults(parser=self)  # a subcommand's parser replaces this one

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigurationError that names the nearest option or command."""
        near = ""
        if match := re.fullmatch(r"unrecognized arguments: (-[\w-]+).*", message, re.DOTALL):
            known = [name for action in self._actions for name in action.option_strings]
            message, near = f"unknown option {match[1]}.", suggestion(match[1], known)
        elif match := re.search(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)", message):
            commands = re.findall(r"[\w-]+", match[2])
            message = f"unknown command {match[1]!r}. Choose from {', '.join(commands)}."
            near = suggestion(match[1], commands)
        raise ConfigurationError(f"{self.prog}: {message.removesuffix('.')}.{near} See {self.prog} --help")


def _add(parser: ArgumentParser, command: Command | Commands) -> None:
    """Add the arguments of a function, or one subcommand for each function."""
    if isinstance(command, Mapping):
        subparsers = parser.add_subparsers(required=True, title="commands", metavar="{" + ",".join(command) + "}")
        for name, below in command.items():
            several = f"One of: {', '.join(below)}." if isinstance(below, Mapping) else None
            text = several or (below.__doc__ or "").partition("\n")[0]
            _add(subparsers.add_parser(name, help=text.replace("%", "%%"), description=text), below)
        return
    docs, helps = _documented(command)
    parser.description = " ".join(f"{docs.short_description or ''} {docs.long_description or ''}".split())
    parser.set_defaults(function=command)
    for name, parameter in inspect.signature(command).parameters.items():
        if isinstance(kind := parameter.annotation, type) and is_dataclass(kind):
            texts = _documented(kind)[1]
            for key, part in inspect.signature(kind).parameters.items():
                option = part.replace(name=key, kind=parameter.kind)
                _add_argument(parser, option, texts[key], prefix=f"{name}.")
        else:
            _add_argument(parser, parameter, helps.get(name, ""))


def _documented(described: Any) -> tuple[Any, dict[str, str]]:
    """Return the parsed docstring of a function or class, and the help of each of its arguments."""
    docs = docstring_parser.parse(described.__doc__ or "")
    texts = {param.arg_name: " ".join((param.description or "").split()) for param in docs.params}
    return docs, {name: text.replace("%", "%%").replace("``", "") for name, text in texts.items()}


def _add_argument(parser: ArgumentParser, parameter: inspect.Parameter, text: str, prefix: str = "") -> None:
    name, default, kind = prefix + parameter.name, parameter.default, parameter.annotation
    if isinstance(kind, UnionType):  # with None
        kind = get_args(kind)[0]
    options: dict[str, Any] = {"type": kind, "metavar": name.upper()}
    if kind is bool and default is not None:
        options = {"action": "store_true"}
    elif kind is bool:
        options |= {"type": _truth, "metavar": "{true,false}"}
    elif get_origin(kind) in (list, tuple):
        options = {"type": get_args(kind)[0], "metavar": name.upper().removesuffix("S"), "nargs": "+"}
    if parameter.kind is not parameter.KEYWORD_ONLY:
        parser.add_argument(name, help=text, **options)
        return
    options |= {"required": True} if default is parameter.empty else {"default": default}
    names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    shown = kind is not bool and default not in (parameter.empty, None, ())
    parser.add_argument(*names, dest=name, help=text + " (default: %(default)s)" * shown, **options)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"
