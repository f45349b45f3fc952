"""Metrics of nested predictions: of each level, of whole paths, and of selective prediction."""

from nested_lightning.metrics.hierarchical import HierarchicalF1, HierarchicalPrecision, HierarchicalRecall
from nested_lightning.metrics.level import LevelAccuracy, LevelConfidence, LevelECE
from nested_lightning.metrics.nested import NestedMetrics
from nested_lightning.metrics.path import InconsistencyRate, PathAccuracy, TreeDistance
from nested_lightning.metrics.selective import LevelAURC, PathAURC

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
