"""Expanded channels computed in chunks, one after the other, and only the chunks that an architecture uses.

Between the expansion and the projection of an inverted bottleneck every channel is computed by itself, and the
projection is a sum over them. So a block is a sum over chunks of its expanded channels, and its cost follows the
channels in use, where a mask alone computes those of the widest architecture. A chunk also fits the processor's cache.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nas.supernet.layers import ChannelCount
from nas.supernet.loops import counted_loop

CHUNKS = 6  # at most, of a block's expanded channels
REPAID = 400  # passes through the network that repay their compilation, about 15 s longer


def chunks_for(passes: int) -> int:
    """Return how many chunks suit a training that runs architectures so many times on this device.

    One, which is masks alone, on an accelerator, which short loops would leave idle, and where few passes repay the
    longer compilation.
    """
    return CHUNKS if jax.default_backend() == "cpu" and passes >= REPAID else 1


class InnerWeights(NamedTuple):
    """The weights between the input of an expansion and the output of its projection, or chunks of them."""

    expand: Array  # [..., in, expanded]
    scale: Array  # [expanded], of the normalisation behind the expansion
    bias: Array
    middle: Any  # tree of arrays [..., expanded] of what lies between the two
    project: Array  # [expanded, out]

    def in_chunks(self, size: int) -> "InnerWeights":
        """Return the weights of `size` expanded channels each, [chunks, ...]; the last ones are filled with zeros."""

        def split(array: Array, axis: int = -1) -> Array:
            last = jnp.moveaxis(array, axis, 0)
            padded = jnp.pad(last, ((0, -len(last) % size), *((0, 0),) * (last.ndim - 1)))
            return jnp.moveaxis(padded.reshape(-1, size, *last.shape[1:]), 1, axis)

        middle = jax.tree.map(split, self.middle)
        return InnerWeights(split(self.expand), split(self.scale), split(self.bias), middle, split(self.project, -2))


def chunk_size(channels: int, chunks: int, vector: int) -> int:
    """Return the channels of a chunk, a multiple of `vector`, where there are `chunks` of them at most."""
    return -(-channels // (vector * chunks)) * vector if chunks > 1 else channels


def chunked(
    inner: Callable[..., Array],
    x: Array,
    weights: InnerWeights,
    used: ChannelCount,
    size: int,
    stride: int,
    *options: Array | int,
) -> Array:
    """Return `inner(x, weights, *options)`, the projection of all expanded channels before its normalisation.

    It is the sum over chunks of `size` channels that hold the `used` ones; at once where all are in use in every
    architecture, or where there is one chunk. `stride` is that between x and the result.
    """
    if used is None or size >= len(weights.project):
        return inner(x, weights, *options)
    each = weights.in_chunks(size)
    integers = tuple(jnp.broadcast_to(jnp.asarray(option), (len(each.scale),)) for option in options)
    height, width = (-(-side // stride) for side in x.shape[1:3])
    zero = jnp.zeros((len(x), height, width, weights.project.shape[-1]), x.dtype)

    # A chunk runs again for its derivative: keeping what it computed took twice as long on a CPU.
    def add(total: Array, x: Array, weights: InnerWeights, options: tuple[Array, ...]) -> Array:
        return total + inner(x, weights, *options)

    return counted_loop(add, False, -(-jnp.asarray(used) // size), zero, x, each, integers)
