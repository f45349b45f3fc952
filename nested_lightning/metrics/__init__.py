"""Metrics for nested predictions: per level accuracy, confidence and calibration error, and whole paths."""

from nested_lightning.metrics.accuracy import LevelAccuracy
from nested_lightning.metrics.calibration_error import LevelECE
from nested_lightning.metrics.confidence import LevelConfidence
from nested_lightning.metrics.nested import NestedMetrics
from nested_lightning.metrics.path import InconsistencyRate, PathAccuracy

__all__ = [
    "InconsistencyRate",
    "LevelAccuracy",
    "LevelConfidence",
    "LevelECE",
    "NestedMetrics",
    "PathAccuracy",
]
