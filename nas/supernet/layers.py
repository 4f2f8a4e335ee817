"""The layers of a supernet: a convolution with its batch normalisation, and the mask over unused channels.

Every array has the largest size that the space allows; an architecture uses its first entries. A layer may also hold
the arrays of n blocks stacked along a leading axis: `lax.scan` runs over that axis, so that compile time does not grow
with depth (see `stage_forms.SupernetStack`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from nas.nn.layers import ACTS, EVONORM_GROUPS, EVONORMS
from nas.nn.primitives import Padding, batch_moments, batch_norm

ChannelCount = Array | int | None  # channels in use, counted from the first; None: all, in every architecture
Activation = Callable[[Array], Array]


@dataclass(frozen=True)
class BlockContext:
    """Settings that all blocks of a supernet share; `averages` says whether averaged options are compiled in."""

    padding: Padding
    eps: float  # of the normalisation
    averages: bool


def window_on(x: Array, weight: Array, axis: int = 1) -> Array:
    """Return the part of a window that meets the map x [N,H,W,C]: on sequences, maps one wide, its middle column.

    `axis` is that of the columns in `weight`, [k,k,...]. All other columns meet zeros alone. Maps of images are never
    one wide in a supernet: see `nas.space.scaling.SMALLEST_MAP`.
    """
    if x.shape[2] > 1:
        return weight
    middle = weight.shape[axis] // 2
    return jax.lax.slice_in_dim(weight, middle, middle + 1, axis=axis)


def mask_input_channels(weight: Array, count: ChannelCount, axis: int = -2) -> Array:
    """Return `weight` with zeros beyond the first `count` input channels, which lie on `axis`.

    These are all the masks that a supernet needs. A channel that is not in use holds numbers, but they reach no other
    channel: depthwise convolutions, normalisation and activations work channel by channel, and every 1x1 convolution
    multiplies the channel by a row of zeros. So a masked subnet equals the sliced stand-alone network.
    """
    if count is None:
        return weight
    used = jnp.arange(weight.shape[axis]) < count
    # Add an axis for each axis of `weight` behind `axis`, so that the mask broadcasts along it.
    return weight * jnp.expand_dims(used, range(1, -axis)).astype(weight.dtype)


def norm_act(
    z: Array, act: str, scale: Array, bias: Array, v: Array | None, used: ChannelCount, context: BlockContext
) -> Array:
    """Return z [N,H,W,C] behind its normalisation and `act`, under the statistics of the batch itself.

    EvoNorm stands in place of both, with slopes `v` [C]; S0's groups are those of the `used` channels.
    """
    if act not in EVONORMS:
        return ACTS[act](batch_norm(z, scale, bias, context.eps))
    assert v is not None
    x = z.astype(jnp.float32)
    if act == "evonorm_b0":
        instance = jnp.sqrt(x.var((1, 2), keepdims=True) + context.eps)
        deviation = jnp.sqrt(batch_moments(z)[1] + context.eps)
        ratio = x / jnp.maximum(deviation, v * x + instance)
    else:
        ratio = x * jax.nn.sigmoid(v * x) / jnp.sqrt(_group_variance(x, used) + context.eps)
    return (ratio * scale + bias).astype(z.dtype)


def _group_variance(x: Array, used: ChannelCount) -> Array:
    """Return the variance within each image and group of channels, for each of the `used` channels: [N,1,1,C].

    As `nas.nn.layers.group_variance`, with groups whose size is an input of the program: sums over the channels of a
    group are products with the matrix that says which channel is in which.
    """
    channels = x.shape[-1]
    count = jnp.asarray(channels if used is None else used)
    size = count // jnp.gcd(count, EVONORM_GROUPS)
    member = (jnp.arange(channels)[:, None] // size == jnp.arange(EVONORM_GROUPS)).astype(x.dtype)
    mean = (x.mean((1, 2)) @ member / size) @ member.T
    squares = ((x - mean[:, None, None]) ** 2).mean((1, 2)) @ member / size
    return (squares @ member.T)[:, None, None]


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> NDArray[np.float32]:
    """Return independent normal numbers of mean 0 and standard deviation `std`."""
    return np.float32(std) * rng.standard_normal(shape, dtype=np.float32)


class ConvBN(nnx.Module):
    """The weight of a convolution, with the scale and bias of the batch normalisation behind it."""

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample a weight of `shape` ([k,k,in,out], [in,out] or depthwise [k,k,C]) by He's normal rule, fan-out mode.

        `stack` is (n,) for the arrays of n blocks. All is made by numpy: on the device every shape would be a program
        to compile.
        """
        # Outputs that one input reaches. A depthwise weight [k,k,C] has one output channel per input channel.
        fan_out = {4: shape[0] * shape[0] * shape[-1], 3: shape[0] * shape[0], 2: shape[-1]}[len(shape)]
        self.weight = nnx.Param(jax.device_put(normal(rng, (*stack, *shape), (2 / fan_out) ** 0.5)))
        self.scale = nnx.Param(jax.device_put(np.ones((*stack, shape[-1]), np.float32)))
        self.bias = nnx.Param(jax.device_put(np.zeros((*stack, shape[-1]), np.float32)))

    def add_slopes(self) -> None:
        """Add the slopes of EvoNorm, which begin at 1."""
        self.v = nnx.Param(jax.device_put(np.ones(self.scale.shape, np.float32)))

    @property
    def slopes(self) -> Array | None:
        """The slopes of EvoNorm, None where it is no option here."""
        return self.v[...] if hasattr(self, "v") else None

    def norm(self, x: Array, context: BlockContext) -> Array:
        """Normalise x [N,H,W,C] by the statistics of the batch itself: no state can leak between architectures."""
        return batch_norm(x, self.scale[...], self.bias[...], context.eps)


class Dense(nnx.Module):
    """The weight [in, out] and bias [out] of a layer without normalisation, or of n such layers stacked."""

    def __init__(
        self, shape: tuple[int, int], rng: np.random.Generator, stack: tuple[int, ...] = (), std: float | None = None
    ) -> None:
        """Sample the weight with standard deviation `std`, by default that of unit variance behind the layer."""
        spread = shape[0] ** -0.5 if std is None else std
        self.weight = nnx.Param(jax.device_put(normal(rng, (*stack, *shape), spread)))
        self.bias = nnx.Param(jax.device_put(np.zeros((*stack, shape[-1]), np.float32)))

    def shifted(self, x: Array) -> Array:
        """Return x [..., out] with the bias added."""
        return x + self.bias[...].astype(x.dtype)
