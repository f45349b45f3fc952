"""The parser of the commands that are not LightningCLI's: one message for a mistake."""

import re
from argparse import ArgumentParser
from typing import Any, NoReturn

from nested_lightning.errors import ConfigurationError, suggestion


class CommandParser(ArgumentParser):
    """Tells a mistake as one exception, without the usage; abbreviated options would change when some are added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})
        self.set_defaults(parser=self)  # of a command overrides that of the whole

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigurationError with the nearest known names."""
        near = ""
        if match := re.fullmatch(r"unrecognized arguments: (--\w+).*", message, re.DOTALL):
            known = [name for action in self._actions for name in action.option_strings]
            message, near = f"unknown option {match[1]}.", suggestion(match[1], known)
        elif match := re.search(r"invalid choice: '([^']*)' \(choose from ([^)]*)\)", message):
            commands = re.findall(r"\w+", match[2])
            message = f"unknown command {match[1]!r}: there are {', '.join(commands)}."
            near = suggestion(match[1], commands)
        raise ConfigurationError(f"{self.prog}: {message}{near} See {self.prog} --help")
