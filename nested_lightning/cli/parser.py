"""Run typed functions as commands, with every mistake in one line.

``jsonargparse.auto_cli`` does the same but writes lists as ``[a,b]`` and flags as ``--flag true``; these commands take
``RUN [RUN ...]`` and ``--flag``.
"""

import inspect
import re
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import docstring_parser

from nested_lightning.errors import ConfigurationError, suggestion

Command = Callable[..., None]
Commands = Mapping[str, "Command | Commands"]


def run_command(command: Command | Commands, args: Sequence[str], prog: str, description: str = "") -> None:
    """Parse the arguments and call a function with them.

    Positional parameters of the function are positional arguments and keyword-only ones are options, ``--dry_run`` or
    ``--dry-run``. A bool is a flag, a list takes one or more values. The help is the function's docstring.

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
    positional = [values.pop(p.name) for p in _parameters(function) if p.kind is not p.KEYWORD_ONLY]
    function(*positional, **values)


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
            text = _summary(below)
            _add(subparsers.add_parser(name, help=text, description=text), below)
        return
    docs = docstring_parser.parse(command.__doc__ or "")
    helps = {param.arg_name: " ".join((param.description or "").replace("%", "%%").split()) for param in docs.params}
    parser.description = " ".join(f"{docs.short_description or ''} {docs.long_description or ''}".split())
    parser.set_defaults(function=command)
    for parameter in _parameters(command):
        _add_argument(parser, parameter, helps.get(parameter.name, ""))


def _add_argument(parser: ArgumentParser, parameter: inspect.Parameter, text: str) -> None:
    required = parameter.default is parameter.empty
    options: dict[str, Any] = {} if required else {"default": parameter.default}
    if parameter.annotation is bool:
        options["action"] = "store_true"
    else:
        options["type"], is_list = _value_type(parameter.annotation)
        options["metavar"] = parameter.name.upper()
        if is_list:
            options |= {"nargs": "+", "metavar": parameter.name.upper().removesuffix("S")}
        if parameter.default not in (parameter.empty, None):
            text += " (default: %(default)s)"
    names = [parameter.name]
    if parameter.kind is parameter.KEYWORD_ONLY:
        names = list(dict.fromkeys((f"--{parameter.name}", f"--{parameter.name.replace('_', '-')}")))
        options |= {"dest": parameter.name, "required": required} if options.get("action") is None else {}
    parser.add_argument(*names, help=text, **options)


def _parameters(function: Command) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _value_type(annotation: Any) -> tuple[Callable[[str], Any], bool]:
    """Return the type of one value, and whether there may be several.

    Example:
        >>> _value_type(list[int] | None)
        (<class 'int'>, True)
    """
    if get_origin(annotation) in (UnionType, Union):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return (get_args(annotation)[0], True) if get_origin(annotation) is list else (annotation, False)


def _summary(command: Command | Commands) -> str:
    """Return the first line of a function's docstring; of several functions, their names."""
    if isinstance(command, Mapping):
        return f"One of: {', '.join(command)}."
    return (command.__doc__ or "").partition("\n")[0]
