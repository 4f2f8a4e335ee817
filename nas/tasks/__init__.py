"""What networks are trained for, as values: tasks, and the metrics that judge them."""

from nas.tasks.classification import Classification, smoothed_cross_entropy
from nas.tasks.metric import METRICS, Metric, MetricState, Uncertain, binomial_error, measured
from nas.tasks.multilabel import MultiLabel
from nas.tasks.regression import Regression
from nas.tasks.targets import TASKS, checked_targets, task_of
from nas.tasks.task import (
    Task,
    clipped,
    clipped_error,
    loss_of_batch,
    rescaled,
    reward_of_batch,
    score_contributions,
    score_of_batch,
)

CLASSIFICATION = Classification()

__all__ = [
    "CLASSIFICATION",
    "METRICS",
    "TASKS",
    "Classification",
    "Metric",
    "MetricState",
    "MultiLabel",
    "Regression",
    "Task",
    "Uncertain",
    "binomial_error",
    "checked_targets",
    "clipped",
    "clipped_error",
    "loss_of_batch",
    "measured",
    "rescaled",
    "reward_of_batch",
    "score_contributions",
    "score_of_batch",
    "smoothed_cross_entropy",
    "task_of",
]
