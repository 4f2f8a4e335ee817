"""Multi-label classification: each of K labels holds for an example or not; sigmoid cross entropy, macro F1."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.tasks.metric import MacroF1, Metric
from nas.tasks.split import random_split
from nas.tasks.task import Array, Meaning, Rows


@dataclass(frozen=True)
class MultiLabel:
    """The task of a 0/1 matrix [N, K]; a label is predicted from a probability of one half on, a logit above 0."""

    kind: ClassVar[str] = "multi-label"
    outputs: ClassVar[Meaning] = "labels"

    @property
    def score(self) -> Metric:
        """Macro F1."""
        return MacroF1()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Macro F1."""
        return (MacroF1(),)

    def loss(self, outputs: Array, targets: Array) -> Array:
        """Return the mean binary cross entropy of logits, in nats per label."""
        return self.distil(outputs, targets, targets)

    def scaled(self, targets: Array) -> Array:
        """Return the targets."""
        return targets

    def soft(self, targets: Array, count: int) -> Array:
        """Return the targets."""
        return targets

    def distil(self, outputs: Array, soft: Array, targets: Array) -> Array:
        """Return the mean binary cross entropy against probabilities [N, K]."""
        import jax
        import jax.numpy as jnp

        logits = outputs.astype(jnp.float32)
        return -(soft * jax.nn.log_sigmoid(logits) + (1 - soft) * jax.nn.log_sigmoid(-logits)).mean()

    def taught(self, outputs: Array) -> Array:
        """Return the probabilities of a teacher's logits."""
        import jax

        return jax.nn.sigmoid(outputs)

    def configured(self, label_smoothing: float, class_weights: tuple[float, ...]) -> "MultiLabel":
        """Return the task as it is."""
        return self

    def split(self, targets: NDArray[Any], count: int, seed: int) -> tuple[Rows, Rows]:
        """Return (rows, `count` validation rows) at random, fixed by the seed."""
        return random_split(len(targets), count, seed)

    def constant(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return 1 for every label: the answer "yes" has the highest F1 of all that do not depend on the example."""
        return np.ones(targets.shape[1])

    def rescaling(self) -> None:
        """Return None: logits have no unit."""
