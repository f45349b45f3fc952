"""Silence uninformative log messages and warnings of third-party libraries."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.accelerators.cuda",
    *(f"datasets.packaged_modules.{kind}.{kind}" for kind in ("arrow", "csv", "json", "parquet")),
)
_MESSAGES = (
    "Seed set to",  # it is in config.yaml
    "GPU available",
    "TPU available",
    "LOCAL_RANK",
    "You are using a CUDA device",  # a hint for large matrix products
    "💡 Tip",  # advertises a service
    "Restoring states from the checkpoint",  # "Restored" or "Loaded" follows
    "Detected KeyboardInterrupt",  # a message with the remedy follows
    "Failed to read",  # the error that follows says so
    "Failed to load",
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
_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class _Uninformative(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in _MESSAGES)


@contextmanager
def quietly() -> Iterator[None]:
    """Drop those messages in the context, and print this package's warnings in one line without a place in code."""
    uninformative, original = _Uninformative(), warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if os.path.abspath(filename).startswith(_HERE):
            return f"warning: {message}\n"
        return original(message, category, filename, lineno, line)

    with warnings.catch_warnings():
        for text in _WARNINGS:
            warnings.filterwarnings("ignore", message=text)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(uninformative)
        warnings.formatwarning = formatted
        try:
            yield
        finally:
            warnings.formatwarning = original
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(uninformative)
