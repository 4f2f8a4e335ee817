"""Attentive pooling over time with a Gram matrix."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nas.nn.layers import Linear, Normalise


class GramPoolBlock(nnx.Module):
    """Weighted mean of [N, T, B, C] over time, and its channels' products summed over bands: [N, 1, 1, B C + C C]."""

    def __init__(self, in_channels: int, *, rngs: nnx.Rngs, **common: Any) -> None:
        self.value = Linear(in_channels, in_channels, bias=True, rngs=rngs)
        self.score = Linear(in_channels, in_channels, bias=True, rngs=rngs)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        mean = (self.value(x) * jax.nn.softmax(self.score(x), axis=1)).sum(1)
        gram = jnp.einsum("nbc,nbd->ncd", mean, mean)
        flat = [part.reshape(len(x), -1) for part in (mean, gram)]
        return jnp.concatenate(flat, axis=-1)[:, None, None]
