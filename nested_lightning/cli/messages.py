"""One clear message out of what the parser of the command line has to say."""

import inspect
import re
from argparse import Action
from collections.abc import Callable, Iterable
from importlib import import_module

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from nested_lightning.cli.config import Configs
from nested_lightning.errors import suggestion

_CLASS_PATH = re.compile(r"class_path['\"]?[:=]? ?['\"]([A-Za-z_][\w.]*\.\w+)")


def explain(message: str, parser: ArgumentParser, configs: Configs) -> str:
    """Return a parser's message as one sentence: where, what was expected, what came, and the nearest valid name.

    Args:
        message: of an exception of jsonargparse, argparse or OmegaConf.
        parser: of the command that was given; its options are the valid ones.
        configs: the command's configuration files; the line of a wrong key is looked up in them.
    """
    for pattern, rule in _RULES:
        if match := re.search(pattern, message, re.DOTALL):
            key, text = rule(match, message, parser)
            return configs.locate(key) + text if key else text
    return " ".join(message.split())


Rule = Callable[[re.Match[str], str, ArgumentParser], tuple[str, str]]
"""Makes of a match, the whole message and the parser a key (or "") and the text."""


def _unknown_option(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    key = match[1] or match[2]
    return key, f"unknown option '{key}'.{_nearest(key, parser)} All options: {_program(parser)} --help"


def _unexpected_word(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    return "", f"unexpected {match[1]!r}: options are written --group.name value, as in --data.batch_size 64"


def _unknown_argument(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    """Explain an argument that the class a key is set to does not have."""
    name, key = match[1].rpartition(".")[2], _key(message)
    known = {parameter for path in _CLASS_PATH.findall(message) for parameter in _parameters(path)}
    listed = f" It takes {', '.join(sorted(known))}" if known else ""
    return f"{key}.{name}", f"unknown option '{name}' of '{key}'.{suggestion(name, known)}{listed}"


def _unknown_command(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    commands = [*re.findall(r"[\w-]+", match[2]), "dashboard", "recipes", "report", "taxonomy"]
    return "", f"unknown command {match[1]!r}.{suggestion(match[1], commands)} There are {', '.join(commands)}"


def _no_command(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    text = f"the command is missing, one of {match[1].replace(',', ', ')}, before the options, as in "
    return "", f"{text}nested-lightning fit --config FILE"


def _unknown_class(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    module, name = match[1], match[2]
    names = [known for known in dir(import_module(module)) if not known.startswith("_")]
    return _key(message), f"option '{_key(message)}': module {module} has no {name!r}.{suggestion(name, names)}"


def _unknown_module(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    text = f"option '{_key(message)}': there is no module {match[1]!r} to import. Correct the class path, install the "
    return _key(message), text + "package it is from, or run in the folder the module is in"


def _wrong_class(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    return _key(message), f"option '{_key(message)}': {match[1]} is not a {match[2]}, nor does it return one"


def _unknown_reference(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    wrong, key = _without_command(match[1], parser), _without_command(match[2], parser)
    text = f"option '{key}' refers to ${{{wrong}}}, which is not set anywhere.{_nearest(wrong, parser)}"
    return key, text


def _unset_variable(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    key = _without_command(match[2], parser)
    text = f"option '{key}' needs the environment variable {match[1]}, which is not set: set it, or give a default "
    return key, f"{text}with ${{oc.env:{match[1]},DEFAULT}}"


def _wrong_reference(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    key = _without_command(match[2], parser)
    return key, f"option '{key}' has a ${{...}} that cannot be resolved: {' '.join(match[1].split())}"


def _missing_options(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    if key := _key(message):
        return key, f"option '{key}': its class needs {match[1].strip()}, not given: write init_args below class_path"
    keys = ", ".join(f"'{_without_command(key, parser)}'" for key in match[1].strip().split(", "))
    command = _program(parser).split()[-1]
    remedy = "give a recipe with --config FILE (those that come with the package: nested-lightning recipes list)"
    if command != "fit":
        remedy = f"give a trained model with --ckpt_path RUN/checkpoints/final.ckpt, or {remedy[5:]}"
    return "", f"nothing is given for {keys}: {remedy}"


def _no_group(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    text = f"option '{match[1]}' cannot be {match[2]!r}: it is a group of options, or the path of a file with them"
    return match[1], text


def _missing_value(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    return "", f"option '{match[1]}' needs a value after it"


def _wrong_value(match: re.Match[str], message: str, parser: ArgumentParser) -> tuple[str, str]:
    """Explain a value of a wrong type: the types that could be, and the value as it came."""
    key = _key(message)
    subtypes = re.search(r"Subtypes: \[(.*?)\]\n", message)
    value = re.findall(r"(?:Got|Given) value: (.*?)\s*$", message, re.MULTILINE)[-1]
    shown = value if value.startswith(("[", "{")) else repr(value)
    text = f"option '{key}' cannot be {shown}: expected {_readable(subtypes[1] if subtypes else match[1])}"
    if "dot import path" in message:
        text += ". Classes are given by their import path, as in package.module.Class"
    return key, text


_RULES: tuple[tuple[str, Rule], ...] = (
    (r"does not accept (?:nested key|option|key) '([^']+)'|unrecognized arguments: --?([\w.\-]+)", _unknown_option),
    (r"unrecognized arguments: (\S+)", _unexpected_word),
    (r"(?:Option|Key|Group key) '([^']+)' is not (?:accepted|expected)", _unknown_argument),
    (r"invalid choice: '([^']+)' \(choose from ([^)]*)\)", _unknown_command),
    (r"expected \"subcommand\" to be one of \{([^}]*)\}", _no_command),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _unknown_class),
    (r"No module named '([\w.]+)'", _unknown_module),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", _wrong_class),
    (r"Interpolation key '[^']*' not found \(resolved to '([^']+)'\).*full_key: (\S+)", _unknown_reference),
    (r"Environment variable '([^']+)' not found.*full_key: (\S+)", _unset_variable),
    (r"^Parser key \"([\w.]+)\":\s+Unable to load config '(.*?)'", _no_group),
    (r"(.*)full_key: (\S+)", _wrong_reference),
    (r"following arguments are required: (.*)", _missing_options),
    (r"argument (?:-c/)?--([\w.]+): expected one argument", _missing_value),
    (r"Expected an? ([^\n]*?)(?:\. Got value: .*|\n.*Given value: .*)", _wrong_value),
)


def _key(message: str) -> str:
    """Return the dotted key that a message is about: jsonargparse names a class's argument within the class."""
    return ".".join(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))


def _without_command(key: str, parser: ArgumentParser) -> str:
    return key.removeprefix(_program(parser).split()[-1] + ".")


def _program(parser: ArgumentParser) -> str:
    """Return the command in its name that no other package can take."""
    return f"nested-lightning {parser.prog.split()[-1]}"


def _nearest(key: str, parser: ArgumentParser) -> str:
    """Compare the key's last part with the options of its group, else with all groups, else the whole key."""
    known = sorted({action.dest for action in parser._actions})
    group, _, name = key.rpartition(".")
    siblings = [option.rpartition(".")[2] for option in known if option.rpartition(".")[0] == group]
    if group and (near := suggestion(name, siblings)):
        return re.sub(r"'(\w+)'", rf"'{group}.\1'", near)
    return suggestion(key, [option for option in known if option.rpartition(".")[2] == name] or known)


def _parameters(class_path: str) -> Iterable[str]:
    module, _, name = class_path.rpartition(".")
    try:
        return list(inspect.signature(getattr(import_module(module), name)).parameters)
    except (ImportError, AttributeError, ValueError, TypeError):
        return []


def _readable(types: str) -> str:
    """Turn a list of Python types as text into words.

    Example:
        >>> _readable("list[int], <class 'NoneType'>")
        'list[int] or null'
        >>> _readable("typing.Literal['exact', 'all']")
        "'exact' or 'all'"
    """
    text = re.sub(r"<class '([^']+)'>", r"\1", types)
    text = re.sub(r"(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "null")
    text = re.sub(r"Literal\[([^\]]*)\]", r"\1", text)
    parts = [part for part in re.split(r", (?![^\[]*\])", text) if part]
    return " or ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


class ShortHelp(DefaultHelpFormatter):
    """Help that does not name every class of torch where a module is expected."""

    def _expand_help(self, action: Action) -> str:
        text, listed, paths = super()._expand_help(action).partition("known subclasses: ")
        names = paths.rstrip(")").split(", ")
        if len(names) > 10:
            names = [name for name in names if name.startswith("nested_lightning.")] + ["..."]
        return text + listed + ", ".join(names) + ")" * bool(listed)
