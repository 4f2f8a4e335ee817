"""The loss of every training on labels: cross entropy with label smoothing."""

import jax
import jax.numpy as jnp
from jax import Array


def smoothed_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Return the mean cross entropy, in nats, of logits [N, classes] and labels [N], in float32.

    The target is 1 - `smoothing` on the label plus `smoothing` spread evenly over all classes (arXiv 1512.00567).
    """
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    picked = jnp.take_along_axis(log_p, labels[:, None].astype(jnp.int32), axis=1)[:, 0]
    return -((1 - smoothing) * picked + smoothing * log_p.mean(1)).mean()
