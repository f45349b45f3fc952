"""Loggers that write into the folder of a run."""

from nested_lightning.loggers.csv import RunCSVLogger
from nested_lightning.loggers.wandb import RunWandbLogger, wandb_run_id

__all__ = ["RunCSVLogger", "RunWandbLogger", "wandb_run_id"]
