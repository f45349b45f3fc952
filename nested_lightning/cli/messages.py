"""Turn the messages of jsonargparse, argparse and OmegaConf into one line: place, key, problem and nearest name."""

import inspect
import re
from argparse import Action
from collections.abc import Iterable
from importlib import import_module

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from nested_lightning.cli.config import CALLBACKS, Configs
from nested_lightning.errors import suggestion

_KEY = re.compile(r'Parser key "([^"]+)"|full_key: (\S+)')
_CLASS_PATH = re.compile(r"class_path['\"]?[:=]? ?['\"]([A-Za-z_][\w.]*\.\w+)")
# Unknown names: of an argument of a class, of a class, of an option, of a command.
_ARGUMENT = re.compile(r"(?:Option|Key|Group key) '([^']+)' is not (?:accepted|expected)")
_CLASS = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_OPTION = re.compile(
    r"(?:unrecognized arguments: (?:--?)?|does not accept (?:nested key|option|key) '|\(resolved to ')([^\s']+)"
)
# Of several types of a value, the one that is a class with wrong arguments says most.
_OF_CLASS = re.compile(r"\n    - (Problem with given class_path '.*?)(?=\n    - |\n  Given value|\Z)", re.DOTALL)
_COMMAND = re.compile(r"invalid choice: '([^']+)' \(choose from ([^)]*)\)")
_HINTS = {
    "lr_scheduler": " The cascade lowers the learning rate itself: see cascade.plateau_patience and "
    "cascade.plateau_factor. For a scheduler, override configure_optimizers and pass your class to main."
}
_SHORTER = (
    (r'Parser key "[^"]+":|^ *- Expected a path but .*?$|^ *(?:full_key: |object_type=).*?$', ""),
    (
        r"Does not validate against any of the Union subtypes\s+Subtypes: \[(.*?)\]\n.*\n *Given value: ",
        r"expected one of: \1. Got value: ",
    ),
    (r"<class '([\w.]+)'>", r"\1"),
    (r"typing\.Literal\[(.*?)\]", r"\1"),
    (r"\bNoneType\b", "null"),
    (r"\bExpected an? ", "expected "),
    (r"\.\s+Got value: ", "; got "),
)


def explain(message: str, parser: ArgumentParser, configs: Configs, other_commands: Iterable[str] = ()) -> str:
    """Return a parser's message in one line: file and line, key, problem, and the nearest names if one is unknown.

    Args:
        message: of an exception of jsonargparse, argparse or OmegaConf.
        parser: of the command that was given; its options are the valid ones.
        configs: the command's configuration files, in which the line of a key is looked up.
        other_commands: names of commands that the parser does not know.
    """
    program = f"nested-lightning {parser.prog.split()[-1]}"
    prefix = program.split()[1] + "."
    keys = dict.fromkeys((nested or full).removeprefix(prefix) for nested, full in _KEY.findall(message))
    key = place = ".".join(keys)
    of_class = inner[1] if (inner := _OF_CLASS.search(message)) else message
    if match := _ARGUMENT.search(message):
        name = match[1].rpartition(".")[2]
        place = f"{key}.{name}"
        known = sorted({parameter for path in _CLASS_PATH.findall(of_class) for parameter in _parameters(path)})
        problem = f"unknown argument '{name}'.{suggestion(name, known)}{' It takes ' * bool(known)}{', '.join(known)}"
    elif match := _CLASS.search(message):
        names = [name for name in dir(import_module(match[1])) if not name.startswith("_")]
        problem = f"unknown class '{match[1]}.{match[2]}'.{suggestion(match[2], names)}"
    elif match := _OPTION.search(message):
        name = match[1].removeprefix(prefix).partition("=")[0]
        place = key or name
        problem = f"unknown option '{name}'.{_HINTS.get(name) or _nearest(name, parser)} All options: {program} --help"
    elif match := _COMMAND.search(message):
        commands = [*re.findall(r"[\w-]+", match[2]), *other_commands]
        problem = f"unknown command '{match[1]}'.{suggestion(match[1], commands)} Choose from {', '.join(commands)}"
    else:
        problem = of_class.replace(f" {prefix}", " ")
        for pattern, shorter in _SHORTER:
            problem = re.sub(pattern, shorter, problem, flags=re.DOTALL | re.MULTILINE)
        problem = " ".join(problem.split()).removeprefix("- ")
        if key in CALLBACKS and "Unable to load config" in problem:
            problem += f". To leave the callback out: --without {key}"
        if "arguments are required" in problem and not key:
            model = "" if prefix == "fit." else "a trained model with --ckpt_path RUN/checkpoints/final.ckpt, or "
            problem += f". Give {model}a recipe with --config FILE (listed by: nested-lightning recipes list)"
    return (configs.locate(place) if place else "") + (f"option '{key}': " if key else "") + problem


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


class ShortHelp(DefaultHelpFormatter):
    """Help that does not list every class of torch where a module is expected."""

    def _expand_help(self, action: Action) -> str:
        text, listed, paths = super()._expand_help(action).partition("known subclasses: ")
        names = paths.rstrip(")").split(", ")
        if len(names) > 10:
            names = [name for name in names if name.startswith("nested_lightning.")] + ["..."]
        return text + listed + ", ".join(names) + ")" * bool(listed)
