"""Linear maps of a supernet whose inputs and weights are rounded as in int8, where that is asked for.

So candidates are ranked by what they reach in int8. Weights are symmetric with a scale per output channel: these scales
commute with the normalisation behind, so that the rounded weights are those of a file, where it is folded in. An input
is rounded to the grid that spans its extremes in the batch at hand, as every candidate has activations of its own and
none is calibrated; of a 1x1 or dense convolution only the channels in use count, of a depthwise one all that are
computed. Sums, means and gates stay in floats. Ranking takes no gradients.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax.numpy as jnp
from jax import Array

from nas.nn import primitives
from nas.nn.primitives import Padding
from nas.quantisation.grid import HIGH, SMALLEST_SCALE, fake_quantised, grid_of

_ROUNDS: ContextVar[bool] = ContextVar("rounds to int8", default=False)  # while a program is traced


@contextmanager
def in_int8(on: bool) -> Iterator[None]:
    """Round in all linear maps that are traced meanwhile, where `on`."""
    token = _ROUNDS.set(on)
    try:
        yield
    finally:
        _ROUNDS.reset(token)


def conv2d(x: Array, weight: Array, stride: int = 1, padding: Padding = "symmetric") -> Array:
    """Return `nas.nn.primitives.conv2d`, rounded where that is asked for."""
    return primitives.conv2d(*_rounded(x, weight), stride, padding)


def depthwise(x: Array, weight: Array, stride: int = 1, padding: Padding = "symmetric") -> Array:
    """Return `nas.nn.primitives.depthwise`, rounded where that is asked for."""
    return primitives.depthwise(*_rounded(x, weight, mixes_channels=False), stride, padding)


def pointwise(x: Array, weight: Array) -> Array:
    """Return `nas.nn.primitives.pointwise`, rounded where that is asked for."""
    return primitives.pointwise(*_rounded(x, weight))


def dense(x: Array, weight: Array) -> Array:
    """Return the matrix product of x [N, in] and a weight [in, out], rounded where that is asked for."""
    x, weight = _rounded(x, weight)
    return x @ weight


def _rounded(x: Array, weight: Array, *, mixes_channels: bool = True) -> tuple[Array, Array]:
    """Return input [..., in] and weight [..., in, out], of a depthwise [k, k, C], on their grids."""
    if not _ROUNDS.get():
        return x, weight
    y, kernel = x.astype(jnp.float32), weight.astype(jnp.float32)
    if mixes_channels:  # channels that are not in use meet rows of zeros: see `mask_input_channels`
        used = (kernel != 0).any((*range(kernel.ndim - 2), kernel.ndim - 1))
        y = jnp.where(used, y, 0.0)
    y = fake_quantised(y, grid_of(jnp.minimum(y.min(), 0.0), jnp.maximum(y.max(), 0.0)))
    largest = jnp.abs(kernel).max(tuple(range(kernel.ndim - 1)))
    scale = jnp.maximum(largest / HIGH, SMALLEST_SCALE)
    return y.astype(x.dtype), (jnp.rint(kernel / scale) * scale).astype(weight.dtype)
