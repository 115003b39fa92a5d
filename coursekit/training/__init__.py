"""Training a net, watching it, and searching for its settings."""

from coursekit.training.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    L1Penalty,
    LivePlot,
    Progress,
    TensorBoard,
)
from coursekit.training.diagnostics import ActivationStats, GradientNorm, UpdateRatio
from coursekit.training.history import History
from coursekit.training.loop import TrainingDivergedError, TrainingLoop
from coursekit.training.search import SearchResult, cross_validate, grid_search, random_search
from coursekit.training.study import StudyResult, study
from coursekit.training.study_guard import StudyError
from coursekit.training.trainer import Trainer

__all__ = [
    "ActivationStats",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientNorm",
    "History",
    "L1Penalty",
    "LivePlot",
    "Progress",
    "SearchResult",
    "StudyError",
    "StudyResult",
    "TensorBoard",
    "Trainer",
    "TrainingDivergedError",
    "TrainingLoop",
    "UpdateRatio",
    "cross_validate",
    "grid_search",
    "random_search",
    "study",
]
