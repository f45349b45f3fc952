"""The command ``lightning``: which part of the package is meant, and how a process ends."""

import os
import signal
import sys
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from nested_lightning.cli.dashboard import dashboard_command
from nested_lightning.cli.failures import told
from nested_lightning.cli.lightning_cli import run_cli
from nested_lightning.cli.output import quietly
from nested_lightning.cli.program import warn_of_other_command
from nested_lightning.cli.report import report_command
from nested_lightning.cli.taxonomy import taxonomy_command
from nested_lightning.data import HierarchicalDataModule
from nested_lightning.module import NestedLightningModule
from nested_lightning.utils.resources import recipes_command

_OTHER_COMMANDS = {
    "dashboard": dashboard_command,
    "recipes": recipes_command,
    "report": report_command,
    "taxonomy": taxonomy_command,
}
_INTERRUPTED = 128 + signal.SIGINT


def main(
    args: Sequence[str] | None = None,
    model_class: type[NestedLightningModule] = NestedLightningModule,
    data_class: type[HierarchicalDataModule] = HierarchicalDataModule,
) -> None:
    """Run ``lightning fit|validate|test|predict``, or another command; ``args`` defaults to the process's own.

    A subclass of one's own is run by a script of one line that passes it as ``model_class`` or ``data_class``.
    A user's mistake is told in one message, with exit code 2. A run that was asked to end ends with 143, as a process
    that SIGTERM has killed; one that has lost another of its processes with 1.
    """
    if args is None:
        warn_of_other_command()
    arguments = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # classes of one's own beside the recipe are found, as with python -m
    try:
        if other := _OTHER_COMMANDS.get("".join(arguments[:1])):
            other(arguments[1:])
            return
        with quietly():
            run_cli(arguments, model_class, data_class)
    except SIGTERMException:
        # Lightning kills the run's first process as soon as it sees that another has failed.
        sys.exit(143 if rank_zero_only.rank == 0 else 0)  # type: ignore[attr-defined]
    except SystemExit as end:
        # Lightning makes a failure (1) of Ctrl-C; scripts tell it from one by this code.
        sys.exit(_INTERRUPTED if isinstance(end.__context__, KeyboardInterrupt) else end.code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if (failure := told(error)) is None:
            raise
        message, code = failure
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(code)
