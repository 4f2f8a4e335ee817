"""The loss of every training on labels: cross entropy with label smoothing."""

import jax
import jax.numpy as jnp
from jax import Array


def smoothed_cross_entropy(
    logits: Array, labels: Array, smoothing: float = 0.0, class_weights: tuple[float, ...] = ()
) -> Array:
    """Return the mean cross entropy, in nats, of logits [N, classes] and labels [N], in float32.

    The target is 1 - `smoothing` on the label plus `smoothing` spread evenly over all classes (arXiv 1512.00567). Each
    image counts as often as the weight of its class says, once where there are none.
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(log_p, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    losses = -((1 - smoothing) * picked + smoothing * log_p.mean(1))
    return weighted(losses, labels, class_weights).mean()


def weighted(losses: Array, labels: Array, class_weights: tuple[float, ...]) -> Array:
    """Return the losses [N] times the weights of the classes of their images; as they are where there are none."""
    return losses * jnp.asarray(class_weights, losses.dtype)[labels] if class_weights else losses
