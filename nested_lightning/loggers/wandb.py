"""One W&B run for everything that happens in the folder of a run."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger

_FLUSH = "x_transaction_log_flush_interval"
"""W&B's option for the seconds after which what was logged is on disk; without it a kill loses 15 seconds, or more."""


class RunWandbLogger(WandbLogger):
    """Lightning's ``WandbLogger`` with one W&B run for everything that happens in one folder.

    A run that was killed and goes on, and a test of its checkpoint in the same folder, continue the W&B run there.

    Args:
        save_dir: the folder of the run; W&B writes into its folder ``wandb``. The command line always gives its own.
        project: where W&B puts the run.
        name: the run's name in W&B. None: that of the folder.
        id: of the W&B run. None: that of the folder, if there is one yet.
        **kwargs: those of ``WandbLogger`` and ``wandb.init``.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        project: str = "nested-lightning",
        name: str | None = None,
        id: str | None = None,
        **kwargs: Any,
    ) -> None:
        import wandb

        if kwargs.get("settings") is None and _FLUSH in wandb.Settings.model_fields:
            kwargs["settings"] = {_FLUSH: 1.0}
        name = name or Path(save_dir).absolute().name
        os.makedirs(save_dir, exist_ok=True)  # or else W&B writes somewhere else
        super().__init__(name=name, save_dir=save_dir, id=id or wandb_run_id(save_dir), project=project, **kwargs)


def wandb_run_id(save_dir: str | os.PathLike[str]) -> str | None:
    """Return the id of the newest W&B run in a folder, None if there is none.

    For a plain logger: ``WandbLogger(save_dir=folder, id=wandb_run_id(folder))``.
    """
    files = Path(save_dir).glob("wandb/*run-*-*/run-*.wandb")
    # The folders are named after the time of their beginning, as in offline-run-20270131_235959-ID.
    newest = max(files, key=lambda file: file.parent.name.partition("run-")[2], default=None)
    return None if newest is None else newest.stem.removeprefix("run-")


def keep_wandb_offline(loggers: Iterable[Any]) -> None:
    """Let W&B write to disk alone where the user has not configured it, instead of asking for an account."""
    if "WANDB_MODE" in os.environ or not any(isinstance(logger, WandbLogger) for logger in loggers):
        return
    if not wandb_account():
        import wandb

        wandb.setup(wandb.Settings(mode="offline"))


def wandb_account() -> bool:
    """Return whether the user has configured an account of W&B, without asking for one."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # a wandb that does not know ``prompt`` yet
        return wandb.api.api_key is not None
