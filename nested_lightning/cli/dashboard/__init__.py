"""The command ``lightning dashboard``."""

from nested_lightning.cli.dashboard.command import dashboard_command

__all__ = ["dashboard_command"]
