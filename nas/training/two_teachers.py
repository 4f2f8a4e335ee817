"""Regression with two teachers, tough and tolerant: the loss of Fard & Mahoor (CVIU 2022, arXiv 2111.07047).

The tough teacher was trained on the targets themselves, the tolerant one on smoothed targets (by an active shape model,
where the targets are landmarks). The main loss is absolute while the prediction p is nearer to the target y than the
tolerant teacher, and quadratic beyond it. Each teacher adds an assistive loss: its answer T is reflected to the side of
p, T' = y + sign(p - y) |T - y|; beyond T' p is pulled back to it, between b = y + 0.15 (T' - y) and T' pushed away
from T' towards y, and nearer to y than b the teacher is silent. The weights are those of the authors' code
(github.com/aliprf/KD-Loss, student_train.py). All numbers are standardised targets.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.tasks import Task
from nas.training.teaching import Teacher, TeacherArrays

SLOPE = 3.0  # of the main loss up to the tolerant teacher
SILENT = 0.15  # of the way from the target to the teacher, within which that adds nothing
TOUGH, TOLERANT = (1.9, -0.45), (1.8, -0.4)  # weights of an assistive loss: beyond the teacher, and between b and it
MAIN_WEIGHT = 2.0  # of the main loss; each assistive one counts once


def main_loss(prediction: Array, target: Array, tolerant: Array) -> Array:
    """Return the main loss elementwise, with d the distance of the tolerant teacher from the target y.

    It is 3 |y - p| up to d, and |y - p|^2 + 3 d - d^2 beyond: continuous at d.
    """
    off, distance = jnp.abs(target - prediction), jnp.abs(target - tolerant)
    return jnp.where(off <= distance, SLOPE * off, off**2 + SLOPE * distance - distance**2)


def assistive_loss(prediction: Array, target: Array, teacher: Array, weights: tuple[float, float]) -> Array:
    """Return the assistive loss of a teacher elementwise, negative where the prediction is between b and T'."""
    off, distance = jnp.abs(prediction - target), jnp.abs(teacher - target)  # T' is on the side of the prediction
    beyond, between = weights
    weight = jnp.where(off > distance, beyond, jnp.where(off >= SILENT * distance, between, 0.0))
    return weight * jnp.abs(distance - off)


def two_teacher_loss(prediction: Array, target: Array, tough: Array, tolerant: Array) -> Array:
    """Return the mean loss of predictions [B, K] against targets and the answers of both teachers, all [B, K]."""
    main = MAIN_WEIGHT * main_loss(prediction, target, tolerant)
    assisted = assistive_loss(prediction, target, tough, TOUGH) + assistive_loss(prediction, target, tolerant, TOLERANT)
    return (main + assisted).mean()


class TwoTeacherArrays(NamedTuple):
    """What of both teachers is on the device."""

    tough: TeacherArrays
    tolerant: TeacherArrays


@dataclass(frozen=True)
class TwoTeachings:
    """How two teachers enter the loss: their architectures."""

    tough: ArchSpec
    tolerant: ArchSpec

    def answers(self, arrays: Any, images: Array) -> Array:
        """Return the outputs of both, [B, 2, K], for images [B, H, W, C] uint8."""
        both = arrays.tough.answers(self.tough, images), arrays.tolerant.answers(self.tolerant, images)
        return jnp.stack(both, axis=1)

    def loss(self, task: Task, outputs: Array, targets: Array, answers: Array, soft: Array | None = None) -> Array:
        """Return the loss of outputs [B, K] against the targets, mixed ones where given, and the answers [B, 2, K]."""
        own = task.scaled(targets) if soft is None else soft
        scaled = task.scaled(answers)
        return two_teacher_loss(outputs, own, scaled[:, 0], scaled[:, 1])


@dataclass(frozen=True, eq=False)
class TwoTeachers:
    """Two trained networks that teach regression."""

    tough: Teacher
    tolerant: Teacher

    @property
    def teaching(self) -> TwoTeachings:
        """How they enter the loss."""
        return TwoTeachings(self.tough.teaching.arch, self.tolerant.teaching.arch)

    @property
    def archs(self) -> tuple[ArchSpec, ...]:
        """Their architectures."""
        return self.tough.teaching.arch, self.tolerant.teaching.arch

    @property
    def identity(self) -> dict[str, Any]:
        """What a training with these teachers depends on."""
        each = [str(one.identity["teacher"]) for one in (self.tough, self.tolerant)]
        return {"teacher": hashlib.sha256(" ".join(each).encode()).hexdigest(), "teachers": "tough and tolerant"}

    def arrays(self) -> TwoTeacherArrays:
        """Return what the training step needs, on the device."""
        return TwoTeacherArrays(self.tough.arrays(), self.tolerant.arrays())

    def check(self, task: Task) -> None:
        """Raise `InvalidInput` where the task is not regression."""
        if task.outputs != "numbers":
            raise InvalidInput(
                "a tough and a tolerant teacher teach regression; for classes or labels give one teacher"
            )
