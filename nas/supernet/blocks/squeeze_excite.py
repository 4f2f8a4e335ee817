"""Squeeze-excite with shared weights (arXiv 1709.01507), with a searched width, or none."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.layers import GATES
from nas.supernet.layers import Activation, ChannelCount, Dense, mask_input_channels


class SearchableSqueezeExcite(nnx.Module):
    """Two dense layers of a gate over `channels`, `squeezed` between them at most; off where none are in use."""

    def __init__(
        self, channels: int, squeezed: int, optional: bool, rng: np.random.Generator, stack: tuple[int, ...]
    ) -> None:
        self.reduce = Dense((channels, squeezed), rng, stack)
        self.expand = Dense((squeezed, channels), rng, stack)
        self.optional = optional

    def __call__(self, y: Array, used: ChannelCount, squeezed: ChannelCount, act: Activation, gate: str) -> Array:
        """Return y [N,H,W,C], of which the first `used` channels are in use, times its gate of so many `squeezed`."""

        def gated(y: Array) -> Array:
            pooled = y.mean((1, 2), keepdims=True)
            weight = mask_input_channels(self.reduce.weight[...], used)
            small = act(self.reduce.shifted(pooled @ weight.astype(y.dtype)))
            wide = small @ mask_input_channels(self.expand.weight[...], squeezed).astype(y.dtype)
            return y * GATES[gate](self.expand.shifted(wide))

        if not self.optional:
            return gated(y)
        on: Any = jnp.asarray(squeezed) > 0
        return lax.cond(on, gated, lambda y: y, y)
