"""How this process was called, and how it is to be called again."""

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import PurePath


def resuming_command(args: Sequence[str]) -> str:
    """Return the command that goes on with the run of these arguments.

    Example:
        >>> resuming_command(["fit", "--config", "my recipe.yaml"]).split(" ", 1)[1]
        "fit --config 'my recipe.yaml' --ckpt_path last"
    """
    started = PurePath(sys.argv[0])
    program = "nested-lightning" if started.suffix != ".py" or started.stem == "__main__" else f"python {started}"
    there = any(argument.split("=")[0] == "--ckpt_path" for argument in args)
    return f"{program} {shlex.join([*args, *([] if there else ['--ckpt_path', 'last'])])}"


def warn_of_other_command() -> None:
    """Warn when this process was started as ``lightning`` while another package installs that name, too."""
    if PurePath(sys.argv[0]).stem != "lightning":
        return
    others = [
        entry.dist.name
        for entry in entry_points(group="console_scripts", name="lightning")
        if entry.dist is not None and not entry.value.startswith("nested_lightning.")
    ]
    if others:
        print(
            f"warning: the package {others[0]} installs a command 'lightning', too, and may replace this one when "
            "it is updated: use 'nested-lightning' instead",
            file=sys.stderr,
        )
