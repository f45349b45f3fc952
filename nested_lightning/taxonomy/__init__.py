"""The tree of labels, built from YAML, paths or columns: targets, parents and sums; the check of strict nesting."""

from nested_lightning.taxonomy.nesting import NestingReport, nesting_report
from nested_lightning.taxonomy.taxonomy import Taxonomy
from nested_lightning.taxonomy.tree import Path

__all__ = ["NestingReport", "Path", "Taxonomy", "nesting_report"]
