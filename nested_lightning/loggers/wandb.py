"""Log everything that happens in the folder of a run to one W&B run."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger

_FLUSH = "x_transaction_log_flush_interval"
"""W&B's option for the seconds until logged rows are on disk; by default a kill loses 15 seconds or more."""


class RunWandbLogger(WandbLogger):
    """Lightning's ``WandbLogger`` with one W&B run for everything that happens in one folder.

    A run that is resumed, or a checkpoint that is tested in the same folder, continues the W&B run there.

    Args:
        save_dir: the folder of the run; W&B writes to its subfolder ``wandb``.
        project: W&B project of the run.
        name: the run's name in W&B. None: that of the folder.
        id: of the W&B run. None: the one in the folder, if there is one.
        **kwargs: further arguments of ``WandbLogger`` and ``wandb.init``.
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
        os.makedirs(save_dir, exist_ok=True)  # otherwise W&B writes elsewhere
        super().__init__(name=name, save_dir=save_dir, id=id or wandb_run_id(save_dir), project=project, **kwargs)


def wandb_run_id(save_dir: str | os.PathLike[str]) -> str | None:
    """Return the id of the newest W&B run in a folder, None if there is none.

    For a plain logger: ``WandbLogger(save_dir=folder, id=wandb_run_id(folder))``.
    """
    files = Path(save_dir).glob("wandb/*run-*-*/run-*.wandb")
    # Folders are named after their start, such as offline-run-20270131_235959-ID.
    newest = max(files, key=lambda file: file.parent.name.partition("run-")[2], default=None)
    return None if newest is None else newest.stem.removeprefix("run-")


def keep_wandb_offline(loggers: Iterable[Any]) -> None:
    """Let W&B write only to disk, instead of asking for an account, if the user has not configured one."""
    if "WANDB_MODE" in os.environ or not any(isinstance(logger, WandbLogger) for logger in loggers):
        return
    if not wandb_account():
        import wandb

        wandb.setup(wandb.Settings(mode="offline"))


def wandb_account() -> bool:
    """Return whether the user has configured a W&B account, without asking for one."""
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # an older wandb, without ``prompt``
        return wandb.api.api_key is not None
