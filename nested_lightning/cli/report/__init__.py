"""The command ``lightning report``: one page that compares runs."""

from nested_lightning.cli.report.command import report_command

__all__ = ["report_command"]
