"""The command ``lightning taxonomy``: find, build, show and check a tree of labels."""

from nested_lightning.cli.taxonomy.command import taxonomy_command

__all__ = ["taxonomy_command"]
