"""Classification: one of K classes per example, told by the largest logit; softmax cross entropy, top-1."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.tasks.metric import Accuracy, Metric
from nas.tasks.split import stratified_split
from nas.tasks.task import Array, Meaning, Rows


@dataclass(frozen=True)
class Classification:
    """The task of class labels [N]; each example counts in the loss as often as the weight of its class says."""

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()  # [K], once each where there are none

    kind: ClassVar[str] = "classification"
    outputs: ClassVar[Meaning] = "classes"

    @property
    def score(self) -> Metric:
        """Top-1."""
        return Accuracy()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Top-1."""
        return (Accuracy(),)

    def loss(self, outputs: Array, targets: Array) -> Array:
        """Return the mean cross entropy, in nats, with label smoothing (arXiv 1512.00567)."""
        return smoothed_cross_entropy(outputs, targets, self.label_smoothing, self.class_weights)

    def scaled(self, targets: Array) -> Array:
        """Return the labels."""
        return targets

    def soft(self, targets: Array, count: int) -> Array:
        """Return the smoothed labels as probabilities [N, K]."""
        import jax
        import optax

        return optax.smooth_labels(jax.nn.one_hot(targets, count), self.label_smoothing)

    def distil(self, outputs: Array, soft: Array, targets: Array) -> Array:
        """Return the mean cross entropy against probabilities [N, K]."""
        import jax
        import jax.numpy as jnp

        losses = -(soft * jax.nn.log_softmax(outputs.astype(jnp.float32))).sum(-1)
        return weighted(losses, targets, self.class_weights).mean()

    def taught(self, outputs: Array) -> Array:
        """Return the probabilities of a teacher's logits."""
        import jax

        return jax.nn.softmax(outputs)

    def configured(self, label_smoothing: float, class_weights: tuple[float, ...]) -> "Classification":
        """Return the task with these settings of its loss."""
        return replace(self, label_smoothing=label_smoothing, class_weights=class_weights)

    def split(self, targets: NDArray[Any], count: int, seed: int) -> tuple[Rows, Rows]:
        """Return (rows, `count` validation rows), every class in both in proportion."""
        return stratified_split(targets, count, seed)

    def constant(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return logits that name the most frequent class."""
        counts = np.bincount(targets)
        return np.asarray(counts == counts.max(), np.float64)

    def rescaling(self) -> None:
        """Return None: logits have no unit."""


def smoothed_cross_entropy(
    logits: Array, labels: Array, smoothing: float = 0.0, class_weights: tuple[float, ...] = ()
) -> Array:
    """Return the mean cross entropy, in nats, of logits [N, classes] and labels [N], in float32.

    The target is 1 - `smoothing` on the label plus `smoothing` spread evenly over all classes (arXiv 1512.00567). Each
    image counts as often as the weight of its class says, once where there are none.
    """
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(log_p, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    losses = -((1 - smoothing) * picked + smoothing * log_p.mean(1))
    return weighted(losses, labels, class_weights).mean()


def weighted(losses: Array, labels: Array, class_weights: tuple[float, ...]) -> Array:
    """Return the losses [N] times the weights of the classes of their images; as they are where there are none."""
    if not class_weights:
        return losses
    import jax.numpy as jnp

    return losses * jnp.asarray(class_weights, losses.dtype)[labels]


def one_hot_rows(targets: NDArray[Any]) -> bool:
    """Return whether every row of a 0/1 matrix [N, K] has exactly one 1, as classes written as columns have."""
    return bool((np.asarray(targets).sum(1) == 1).all())
