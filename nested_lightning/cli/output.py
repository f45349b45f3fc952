"""What the command line does not print: messages of the libraries below it that ask nothing of the user."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
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
    "`weights_only` was not set",  # at every checkpoint
    "Detected KeyboardInterrupt",  # what to do about it follows
    "Failed to read",  # so says the error that follows
    "Failed to load",
)
_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own use of torch
    r"It is recommended to use `self\.log\('(val|test|cascade)/.*sync_dist",  # the same on every process already
    r"Grad strides do not match bucket view strides",  # torch's own, under DistributedDataParallel
    r"The number of training batches .* is smaller than the logging interval",  # we log per epoch
    r".* does not have many workers",  # rows are in memory: workers would slow them down
    r"The dirpath has changed from",  # predictions need not be made in the folder of the run
    r".*there is no last checkpoint available",  # told in other words by the command line
    r"Total length of `list` across ranks is zero",  # no validation data: refused by what needs them
)
_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class _Uninformative(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in _MESSAGES)


@contextmanager
def quietly() -> Iterator[None]:
    """Within it those messages are dropped, and this package's warnings come as one line without a place in code."""
    dropped, written = _Uninformative(), warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if os.path.abspath(filename).startswith(_HERE):
            return f"warning: {message}\n"
        return written(message, category, filename, lineno, line)

    with warnings.catch_warnings():
        for text in _WARNINGS:
            warnings.filterwarnings("ignore", message=text)
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(dropped)
        warnings.formatwarning = formatted
        try:
            yield
        finally:
            warnings.formatwarning = written
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(dropped)
