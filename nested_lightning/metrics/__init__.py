"""Metrics for nested predictions: of each level, of whole paths, and of what is withheld where it is unsure."""

from nested_lightning.metrics.accuracy import LevelAccuracy
from nested_lightning.metrics.calibration_error import LevelECE
from nested_lightning.metrics.confidence import LevelConfidence
from nested_lightning.metrics.hierarchical import HierarchicalF1, HierarchicalPrecision, HierarchicalRecall
from nested_lightning.metrics.nested import NestedMetrics
from nested_lightning.metrics.path import InconsistencyRate, PathAccuracy
from nested_lightning.metrics.selective import LevelAURC, PathAURC
from nested_lightning.metrics.tree_distance import TreeDistance

__all__ = [
    "HierarchicalF1",
    "HierarchicalPrecision",
    "HierarchicalRecall",
    "InconsistencyRate",
    "LevelAURC",
    "LevelAccuracy",
    "LevelConfidence",
    "LevelECE",
    "NestedMetrics",
    "PathAURC",
    "PathAccuracy",
    "TreeDistance",
]
