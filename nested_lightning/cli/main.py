"""The command ``lightning``: run a subcommand, and map exceptions to a user message and an exit code."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING

from nested_lightning.cli import OTHER_COMMANDS
from nested_lightning.cli.output import as_options, quietly
from nested_lightning.errors import mistake_behind

if TYPE_CHECKING:
    from nested_lightning.data import HierarchicalDataModule
    from nested_lightning.module import NestedLightningModule

_INTERRUPTED = 128 + signal.SIGINT
# What gloo, NCCL and torch's store say when another process has ended; there is no exception of its own for it.
_LOST_PROCESS = re.compile(
    "Connection (closed|reset) by peer|Broken pipe|Timed out waiting|NCCL communicator was aborted|ncclRemoteError"
    "|failed to recv"
)


def main(
    args: Sequence[str] | None = None,
    model_class: "type[NestedLightningModule] | None" = None,
    data_class: "type[HierarchicalDataModule] | None" = None,
) -> None:
    """Run ``lightning fit|validate|test|predict``, or another command.

    A user's mistake becomes one message and exit code 2. A run that was asked to end exits with 143, like a process
    killed by SIGTERM; a run that has lost one of its processes with 1.

    Args:
        args: the arguments; those of this process by default.
        model_class: your subclass of ``NestedLightningModule``, passed by a script of one line.
        data_class: your subclass of ``HierarchicalDataModule``.
    """
    if args is None:
        _warn_of_other_command()
    arguments = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # finds the user's classes beside the recipe, like python -m
    try:
        with quietly():
            name = "".join(arguments[:1])
            if name in OTHER_COMMANDS:
                module = import_module(f"nested_lightning.cli.{name}")
                command = partial(getattr(module, f"{name}_command"), arguments[1:])
            else:
                from nested_lightning.cli.lightning_cli import run_cli

                command = partial(run_cli, arguments, model_class, data_class)
            with quietly():  # again, as Lightning sets the format of warnings when it is imported
                command()
    except SystemExit as end:
        # Lightning exits with 1 after Ctrl-C, like after any failure.
        sys.exit(_INTERRUPTED if isinstance(end.__context__, KeyboardInterrupt) else end.code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if (failure := explained(error)) is None:
            raise
        message, code = failure
        print(f"error: {as_options(' '.join(message.split()))}", file=sys.stderr)
        sys.exit(code)


def explained(error: Exception) -> tuple[str, int] | None:
    """Return the message for the user and the exit code, 2 after a mistake and 1 otherwise; None for a bug."""
    if mistake := mistake_behind(error):
        return str(mistake), 2
    import torch
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if mistake := mistake_behind(error, MisconfigurationException):
        return str(mistake), 2
    # On a CPU torch raises a plain RuntimeError.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return (
            f"there is not enough memory ({error}): lower data.batch_size, data.eval_batch_size, data.image_size or "
            "the number of channels"
        ), 2
    in_group = isinstance(error, torch.distributed.DistError) or torch.distributed.is_initialized()
    if in_group and isinstance(error, RuntimeError) and _LOST_PROCESS.search(str(error)):
        reason = str(error).splitlines()[0].partition(". ")[0]
        return (
            f"another process of this run has ended ({reason}): its output, or the log of its machine, says why. "
            "Nothing that was saved is lost: start all processes again with --ckpt_path last"
        ), 1
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    if any(Path(code.co_filename).stem == "checkpoint_connector" and "resto" in code.co_name for code in codes):
        return (
            f"the checkpoint in --ckpt_path does not fit this run ({type(error).__name__}: {error}): the run has "
            "other options than the one that wrote it, or the file was changed or written by another program"
        ), 2
    return None


def _warn_of_other_command() -> None:
    """Warn if this process was started as ``lightning`` while another package installs that command too."""
    if Path(sys.argv[0]).stem != "lightning":
        return
    others = [
        entry.dist.name
        for entry in entry_points(group="console_scripts", name="lightning")
        if entry.dist is not None and not entry.value.startswith("nested_lightning.")
    ]
    if others:
        print(
            f"warning: the package {others[0]} also installs a command 'lightning' and may replace this one when it "
            "is updated: use 'nested-lightning' instead",
            file=sys.stderr,
        )
