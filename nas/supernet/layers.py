"""The parameters of a supernet: convolutions with their normalisation, depthwise banks, blocks, stacks of blocks.

A `stack` of n blocks is one block whose arrays have a leading axis of length n; `lax.scan` walks over it, so that
compile time does not grow with depth. All arrays have the largest sizes of the space; an architecture uses their
first entries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from nas.nn.primitives import Padding, batch_norm

Count = Array | int | None  # channels in use (None: always all), or the number of an option
Activation = Callable[[Array], Array]


@dataclass(frozen=True)
class BlockContext:
    """What all blocks of a supernet share; `averages` says whether the warm-up's averaged options are compiled in."""

    act: Activation
    padding: Padding
    eps: float
    averages: bool


def mask_input_channels(weight: Array, count: Count, axis: int = -2) -> Array:
    """Return `weight` with zeros beyond the first `count` input channels (on `axis`).

    Masking the weights of what mixes channels is all the masking a supernet needs: everything between two 1x1
    convolutions works channel by channel, so unused channels hold numbers that nobody reads.
    """
    if count is None:
        return weight
    used = jnp.arange(weight.shape[axis]) < count
    return weight * jnp.expand_dims(used, range(1, -axis)).astype(weight.dtype)


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> NDArray[np.float32]:
    """Return independent normal numbers."""
    return np.float32(std) * rng.standard_normal(shape, dtype=np.float32)


class ConvBN(nnx.Module):
    """A convolution weight with the scale and bias of the batch normalisation behind it."""

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Draw `shape` ([k,k,in,out], [in,out] or depthwise [k,k,C]) from He's normal distribution, fan-out mode.

        All is made by numpy: on the device every shape would be a program to compile.
        """
        fan_out = {4: shape[0] * shape[0] * shape[-1], 3: shape[0] * shape[0], 2: shape[-1]}[len(shape)]
        self.weight = nnx.Param(jax.device_put(normal(rng, (*stack, *shape), (2 / fan_out) ** 0.5)))
        self.scale = nnx.Param(jax.device_put(np.ones((*stack, shape[-1]), np.float32)))
        self.bias = nnx.Param(jax.device_put(np.zeros((*stack, shape[-1]), np.float32)))

    def norm(self, x: Array, form: BlockContext) -> Array:
        """Normalise x [N,H,W,C] by the statistics of the batch itself: no state can leak between architectures."""
        return batch_norm(x, self.scale[...], self.bias[...], form.eps)
