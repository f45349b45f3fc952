"""The command ``lightning report``: one page that compares runs."""

from nested_lightning.report_command.command import report_command

__all__ = ["report_command"]
