"""Data: sources, label columns, the partition into D_1..D_n, and the data module."""

from nested_lightning.data.datamodule import HierarchicalDataModule

__all__ = ["HierarchicalDataModule"]
