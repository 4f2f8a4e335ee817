"""`Task`, the interface of what a network is trained for: loss, score, targets, split, and what its outputs mean.

A task is a frozen value and hashable, a static argument of the compiled training step. The engine trains, searches and
reports by this interface alone; nothing outside of `nas/tasks` asks which task it is.
"""

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.tasks.metric import Metric

Array = Any  # of numpy, or of jax
Meaning = Literal["classes", "labels", "numbers"]  # of the outputs: logits, one class or several; values
Rows = NDArray[np.int32]


class Task(Protocol):
    """What networks are trained for. Outputs are float32 [N, K], K as many as the data set has names for."""

    @property
    def kind(self) -> str: ...  # its name in files, "classification"
    @property
    def outputs(self) -> Meaning: ...
    @property
    def score(self) -> Metric: ...  # what a search maximises: at most 1, about 0 for a constant answer
    @property
    def metrics(
        self,
    ) -> tuple[Metric, ...]: ...  # of reports, in the unit of the targets; its own first

    def loss(self, outputs: Array, targets: Array) -> Array: ...  # a mean over the batch, differentiable
    def scaled(self, targets: Array) -> Array: ...  # targets as the outputs of a network that is in training
    def soft(self, targets: Array, count: int) -> Array: ...  # the targets [N, count] of `distil` from the labels
    def distil(self, outputs: Array, soft: Array, targets: Array) -> Array: ...  # the loss against soft targets
    def taught(self, outputs: Array) -> Array: ...  # the soft targets that a teacher's outputs are

    def configured(self, label_smoothing: float, class_weights: tuple[float, ...]) -> "Task": ...
    def split(self, targets: NDArray[Any], count: int, seed: int) -> tuple[Rows, Rows]: ...  # training, validation
    def constant(self, targets: NDArray[Any]) -> NDArray[np.float64]: ...  # outputs [K] of the best constant answer
    def rescaling(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None: ...  # mean, std [K] of the targets


def outputs_text(outputs: Meaning, count: int) -> str:
    """Return how many outputs of which meaning in words: "10 classes", "3 labels", "1 target"."""
    noun = {"classes": "class", "labels": "label", "numbers": "target"}[outputs]
    return f"{count:,} {noun}" + ("" if count == 1 else "es" if noun == "class" else "s")


def loss_of_batch(task: Task, outputs: Array, targets: Array, soft: Array | None = None) -> Array:
    """Return the loss of a batch: from its targets, or from the soft ones [N, K] that a teacher gave."""
    return task.loss(outputs, targets) if soft is None else task.distil(outputs, soft, targets)


def score_of_batch(task: Task, outputs: Array, targets: Array) -> Array:
    """Return the score of one batch in training, inside of a compiled program too."""
    return task.score.of_batch(outputs, task.scaled(targets))


def reward_of_batch(task: Task, outputs: Array, targets: Array) -> Array:
    """Return the reward of one batch to a policy: its score, and at least -1 where that is no share of the examples.

    So that one network whose outputs are far off does not drown what the policy learns of the others.
    """
    score = score_of_batch(task, outputs, targets)
    return score if task.outputs == "classes" else score.clip(-1)


def score_contributions(task: Task, outputs: Array, targets: NDArray[Any]) -> NDArray[Any]:
    """Return what each example adds to the score, [N] with the score as its mean; a score below 0 counts as 0.

    `outputs` are those of a network in training; where they are no numbers the score is 0. For classification truth
    values: which examples are correct.
    """
    found = task.score.contributions(outputs, task.scaled(targets))
    if found.dtype == np.bool_:
        return found
    mean = float(found.mean())
    return (found - min(0.0, mean) if np.isfinite(mean) else np.zeros(len(found))).astype(np.float32)


def clipped(score: float) -> float:
    """Return a score as files keep it: from 0 to 1, and 0 where it is no number."""
    return min(max(score, 0.0), 1.0) if score == score else 0.0


def clipped_error(error: float) -> float:
    """Return a standard error as files keep it: at most 1, which stands for one that is no number too."""
    return min(error, 1.0) if error == error else 1.0


def rescaled(task: Task, outputs: NDArray[Any]) -> NDArray[Any]:
    """Return the outputs of a network in training in the unit of the targets."""
    scale = task.rescaling()
    return outputs if scale is None else outputs * np.array(scale[1], np.float64) + np.array(scale[0], np.float64)
