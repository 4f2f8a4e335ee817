"""A teacher in a training: its answers on the very images that the student sees, mixed with the labels.

Distillation of Hinton et al. (arXiv 1503.02531): the loss is a share of that against the teacher's softened answers,
times the square of the temperature, and the rest of that against the labels. Both networks see one augmented image
(arXiv 2106.05237); the teacher at its own size, under its own normalisation and stored statistics.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nas.arch import ArchSpec
from nas.data import to_input
from nas.data.input_spec import InputSpec
from nas.errors import InvalidInput
from nas.nn.network import Weights, merged
from nas.nn.weight_file import digest_of
from nas.tasks import Task, loss_of_batch


@dataclass(frozen=True)
class Teaching:
    """How a teacher enters the loss: its architecture, its share of the loss, and the temperature of both answers."""

    arch: ArchSpec
    share: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InvalidInput(f"the teacher's share of the loss must lie above 0 and up to 1, got {self.share}")
        if not 0.1 <= self.temperature <= 100:
            raise InvalidInput(f"the temperature must lie between 0.1 and 100, got {self.temperature}")

    def answers(self, arrays: Any, images: Array) -> Array:
        """Return the teacher's outputs [B, K] for images [B, H, W, C] uint8."""
        return arrays.answers(self.arch, images)

    def loss(self, task: Task, outputs: Array, targets: Array, answers: Array, soft: Array | None = None) -> Array:
        """Return the loss of outputs [B, K] against the targets, soft ones where given, and the answers [B, K]."""
        t = self.temperature if task.outputs != "numbers" else 1.0
        taught = task.taught(task.scaled(answers) / t)
        from_labels = loss_of_batch(task, outputs, targets, soft)
        return (1 - self.share) * from_labels + self.share * t**2 * task.distil(outputs / t, taught, targets)


class TeacherArrays(NamedTuple):
    """What of a teacher is on the device: its weights, and the mean and deviation [C] of its input."""

    weights: Weights
    mean: Array
    std: Array

    def answers(self, arch: ArchSpec, images: Array) -> Array:
        """Return the outputs [B, K] for images [B, H, W, C] uint8; no gradient flows into them."""
        size, channels = arch.input_shape.size, arch.input_shape.channels
        x = images.astype(jnp.float32)
        if images.shape[1:3] != size:
            x = jax.image.resize(x, (len(x), *size, x.shape[3]), "bilinear", antialias=True)
        x = x if x.shape[3] == channels else jnp.repeat(x, channels, axis=3)
        x = to_input(x / 255, self.mean, self.std, channels)
        return jax.lax.stop_gradient(merged(arch, self.weights)(x))


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network as a teacher: how it enters the loss, its weights, and what it takes."""

    teaching: Teaching
    weights: Mapping[str, Any]
    input: InputSpec

    @property
    def identity(self) -> dict[str, Any]:
        """What a training with this teacher depends on."""
        own = hashlib.sha256(f"{self.teaching.arch.digest} {digest_of(dict(self.weights))}".encode()).hexdigest()
        return {"teacher": own, "teacher_share": self.teaching.share, "temperature": self.teaching.temperature}

    @property
    def archs(self) -> tuple[ArchSpec, ...]:
        """The architectures of what teaches."""
        return (self.teaching.arch,)

    def arrays(self) -> TeacherArrays:
        """Return what the training step needs, on the device."""
        mean, std = (np.asarray(each, np.float32) for each in (self.input.mean, self.input.std))
        weights = {name: np.asarray(value, np.float32) for name, value in self.weights.items()}
        return TeacherArrays(*jax.device_put((weights, mean, std)))
