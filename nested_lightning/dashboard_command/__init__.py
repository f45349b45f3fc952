"""The command ``lightning dashboard``."""

from nested_lightning.dashboard_command.command import dashboard_command

__all__ = ["dashboard_command"]
