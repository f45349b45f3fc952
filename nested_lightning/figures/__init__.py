"""Figures of a model's predictions: every function draws on given axes or new ones and returns ``(fig, ax)``."""

from nested_lightning.figures.confidence import confidence_histogram, reliability_diagram, risk_coverage_diagram
from nested_lightning.figures.confusion import confusion_by_taxonomy, plot_confusion
from nested_lightning.figures.depth import depth_chart
from nested_lightning.figures.distortion import distortion_curves
from nested_lightning.figures.samples import Sample, samples_sheet
from nested_lightning.figures.timeline import accuracy_timeline, loss_timeline

__all__ = [
    "Sample",
    "accuracy_timeline",
    "confidence_histogram",
    "confusion_by_taxonomy",
    "depth_chart",
    "distortion_curves",
    "loss_timeline",
    "plot_confusion",
    "reliability_diagram",
    "risk_coverage_diagram",
    "samples_sheet",
]
