"""Coordinate attention with shared weights (arXiv 2103.02907), with a searched width, or none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, Dense, mask_input_channels


class BiasedConvBN(ConvBN):
    """A 1x1 convolution with a bias, `shift`, in front of its normalisation."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        super().__init__(shape, rng, stack)
        self.shift = nnx.Param(jax.device_put(np.zeros((*stack, shape[-1]), np.float32)))


class SearchableCoordinateAttention(nnx.Module):
    """A gate per row and one per column over `channels`, `reduced` between at most; off where none are in use."""

    def __init__(
        self, channels: int, reduced: int, optional: bool, rng: np.random.Generator, stack: tuple[int, ...]
    ) -> None:
        self.reduce = BiasedConvBN((channels, reduced), rng, stack)
        self.height, self.width = (Dense((reduced, channels), rng, stack) for _ in range(2))
        self.optional = optional

    def __call__(self, y: Array, used: ChannelCount, reduced: ChannelCount, context: BlockContext) -> Array:
        """Return y [N,H,W,C], of which the first `used` channels are in use, times its gates of so many `reduced`."""

        def gated(y: Array) -> Array:
            rows, columns = y.mean(2, keepdims=True), y.mean(1, keepdims=True).swapaxes(1, 2)
            weight = mask_input_channels(self.reduce.weight[...], used).astype(y.dtype)
            both = jnp.concatenate([rows, columns], axis=1) @ weight + self.reduce.shift[...].astype(y.dtype)
            both = jax.nn.hard_swish(self.reduce.norm(both, context))
            by_row, by_column = both[:, : y.shape[1]], both[:, y.shape[1] :].swapaxes(1, 2)
            return y * gate(self.height, by_row) * gate(self.width, by_column)

        def gate(layer: Dense, z: Array) -> Array:
            weight = mask_input_channels(layer.weight[...], reduced).astype(z.dtype)
            return jax.nn.sigmoid(layer.shifted(z @ weight))

        if not self.optional:
            return gated(y)
        on: Any = jnp.asarray(reduced) > 0
        return lax.cond(on, gated, lambda y: y, y)
