"""Silence uninformative messages of third-party libraries, and name arguments as options in those of this package."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.accelerators.cuda",
    *(f"datasets.packaged_modules.{kind}.{kind}" for kind in ("arrow", "csv", "json", "parquet")),
)
_MESSAGES = (
    *("Seed set to", "GPU available", "TPU available", "LOCAL_RANK", "You are using a CUDA device"),
    "💡 Tip",  # advertises a service
    "Restoring states from the checkpoint",  # "Restored" or "Loaded" follows
    *("Detected KeyboardInterrupt", "Failed to read", "Failed to load"),  # an error or a remedy follows
)
_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own use of torch
    r"It is recommended to use `self\.log\('(val|test|cascade)/.*sync_dist",  # already the same on every process
    r"Grad strides do not match bucket view strides",  # of torch itself, under DistributedDataParallel
    r"The number of training batches .* is smaller than the logging interval",  # values are logged once per epoch
    r".* does not have many workers",  # samples are in memory: workers would slow them down
    r"The dirpath has changed from",  # predictions may be written to another folder
    r".*there is no last checkpoint available",  # the command line has its own message
    r"Total length of `list` across ranks is zero",  # no validation data; what needs them raises an error
)
_CALLBACKS = {"CascadeTraining": "cascade", "RejectionFineTuning": "rejection", "TemperatureScaling": "temperature"}
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


@contextmanager
def quietly() -> Iterator[None]:
    """Drop those messages in the context, and print this package's warnings in one line without a place in code."""
    original = warnings.formatwarning

    def formatted(message: Warning | str, category: type[Warning], filename: str, *place: Any) -> str:
        if os.path.abspath(filename).startswith(_PACKAGE):
            return f"warning: {as_options(str(message))}\n"
        return original(message, category, filename, *place)

    with warnings.catch_warnings():
        for text in _WARNINGS:
            warnings.filterwarnings("ignore", message=text)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_informative)
        warnings.formatwarning = formatted  # type: ignore[assignment]
        try:
            yield
        finally:
            warnings.formatwarning = original
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(_is_informative)


def as_options(message: str) -> str:
    """Return a message of the package, which names arguments as in Python, with options of the command line.

    Example:
        >>> as_options('resume with ckpt_path="last"')
        'resume with --ckpt_path last'
        >>> as_options("remove TemperatureScaling")
        'remove TemperatureScaling (--without temperature)'
    """
    message = re.sub(
        rf"\bremove ({'|'.join(_CALLBACKS)})\b", lambda m: f"{m[0]} (--without {_CALLBACKS[m[1]]})", message
    )
    message = re.sub(r'(?<![\w.-])ckpt_path="(\w+)"', r"--ckpt_path \1", message)
    return re.sub(r"(?<![\w./-])default_root_dir\b", "--trainer.default_root_dir", message)


def _is_informative(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _MESSAGES)
