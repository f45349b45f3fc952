"""Callbacks for cascaded training, calibration, and the files and logs of a run."""

from nested_lightning.callbacks.calibrator import Calibrator
from nested_lightning.callbacks.cascade import CascadeTraining
from nested_lightning.callbacks.checkpoint import RunCheckpoint
from nested_lightning.callbacks.figures import Figures
from nested_lightning.callbacks.predictions import PredictionWriter
from nested_lightning.callbacks.progress import StageProgress
from nested_lightning.callbacks.rejection import RejectionFineTuning
from nested_lightning.callbacks.report import Report
from nested_lightning.callbacks.stage_checkpoint import StageWeights
from nested_lightning.callbacks.temperature import TemperatureScaling
from nested_lightning.callbacks.wandb import WandbRun
from nested_lightning.callbacks.word_vectors import WordVectors

__all__ = [
    "Calibrator",
    "CascadeTraining",
    "Figures",
    "PredictionWriter",
    "RejectionFineTuning",
    "Report",
    "RunCheckpoint",
    "StageProgress",
    "StageWeights",
    "TemperatureScaling",
    "WandbRun",
    "WordVectors",
]
