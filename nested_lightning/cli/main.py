"""The command ``lightning``: run a subcommand, and map exceptions to a user message and an exit code."""

import os
import re
import select
import signal
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, TextIO

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
    try:
        try:
            with quietly():
                _run(arguments, model_class, data_class)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _is_closed(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        sys.exit(128 + signal.SIGPIPE)
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


_HELP = """usage: nested-lightning COMMAND [options]

Classifiers of nested labels, from coarse to fine.

commands, each with --help:
  fit        train a model: fit --config RECIPE, resumed with --ckpt_path last
  validate   measure a trained model on its validation data: validate --ckpt_path RUN/checkpoints/final.ckpt
  test       measure it on test data
  predict    write predictions.parquet for new data: predict --ckpt_path FILE --data.source SOURCE
  recipes    the recipes that come with the package: 'recipes list', and 'recipes copy DEST' to change them
  taxonomy   trees of labels: 'taxonomy discover', 'taxonomy build', 'taxonomy show' and 'taxonomy check'
  report     runs side by side on one page: report RUN [RUN ...]
  dashboard  a workspace of Weights & Biases"""


def _run(
    arguments: list[str],
    model_class: "type[NestedLightningModule] | None",
    data_class: "type[HierarchicalDataModule] | None",
) -> None:
    name = "".join(arguments[:1])
    if name in ("", "-h", "--help"):  # without Lightning, which takes seconds to import
        print(_HELP)
        sys.exit(0 if name else 2)
    if name in OTHER_COMMANDS:
        module = import_module(f"nested_lightning.cli.{name}")
        command = partial(getattr(module, f"{name}_command"), arguments[1:])
    else:
        from nested_lightning.cli.lightning_cli import run_cli

        command = partial(run_cli, arguments, model_class, data_class)
    with quietly():  # again, as Lightning sets the format of warnings when it is imported
        command()


def _is_closed(stream: TextIO) -> bool:
    """Return whether the reader of a pipe has ended, such as ``head``."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


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
    if (x := _refused_input(error)) is not None:
        reason, text = str(error).strip().partition("\n")[0], "" if x.is_floating_point() else " (numbers of words)"
        return (
            f"the backbone cannot process the inputs, which are {x.dtype}{text} of shape {list(x.shape)}: {reason}. "
            "Choose model.backbone and its options for such inputs"
        ), 2
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    if any(Path(code.co_filename).stem == "checkpoint_connector" and "resto" in code.co_name for code in codes):
        return (
            f"the checkpoint in --ckpt_path does not fit this run ({type(error).__name__}: {error}): the run has "
            "other options than the one that wrote it, or the file was changed or written by another program"
        ), 2
    return None


def _refused_input(error: Exception) -> Any:
    """Return the input that a backbone of a library failed on, None if the error comes from elsewhere.

    An error within a class of the user's own is left with its traceback.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    modules = [frame.f_globals.get("__name__", "").partition(".")[0] for frame in frames]
    for i, frame in enumerate(frames):
        if frame.f_code.co_qualname == "NestedNetwork.features" and i + 1 < len(frames):
            libraries = {"torch", "torchvision", "timm", "transformers", "nested_lightning"}
            return frame.f_locals.get("x") if set(modules[i + 1 :]) <= libraries else None
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
