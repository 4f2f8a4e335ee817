"""Exponential moving average (EMA) of weights over a training."""

import jax
import jax.numpy as jnp
from jax import Array

from nas.training.optimizers import Params


def ema_decay(step: Array | int, decay: float) -> Array:
    """Return the decay of the average at `step`: min(decay, (1 + step) / (10 + step)).

    So it averages over about the last tenth of the steps so far, until that is longer than 1 / (1 - decay) steps. A
    constant decay would leave the average of a short training near its initial weights.
    """
    at = jnp.asarray(step, jnp.float32)
    return jnp.minimum(decay, (1 + at) / (10 + at))


def ema_update(average: Params, params: Params, decay: Array | float) -> Params:
    """Return the average after a step: `average` moved towards `params` by the fraction 1 - `decay`."""
    return jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), average, params)
