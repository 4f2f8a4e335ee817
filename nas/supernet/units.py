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
from jax import Array, lax
from numpy.typing import NDArray

from nas.nn.primitives import Padding, batch_norm, depthwise, pointwise

Count = Array | int | None  # channels in use (None: always all), or the number of an option
Activation = Callable[[Array], Array]


@dataclass(frozen=True)
class Form:
    """What all blocks of a supernet share; `averages` says whether the warm-up's averaged options are compiled in."""

    act: Activation
    padding: Padding
    eps: float
    averages: bool


def first_rows(weight: Array, count: Count, axis: int = -2) -> Array:
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


class Unit(nnx.Module):
    """A convolution weight with the scale and bias of the batch normalisation behind it."""

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Draw `shape` ([k,k,in,out], [in,out] or depthwise [k,k,C]) from He's normal distribution, fan-out mode.

        All is made by numpy: on the device every shape would be a program to compile.
        """
        fan_out = {4: shape[0] * shape[0] * shape[-1], 3: shape[0] * shape[0], 2: shape[-1]}[len(shape)]
        self.weight = nnx.Param(jax.device_put(normal(rng, (*stack, *shape), (2 / fan_out) ** 0.5)))
        self.scale = nnx.Param(jax.device_put(np.ones((*stack, shape[-1]), np.float32)))
        self.bias = nnx.Param(jax.device_put(np.zeros((*stack, shape[-1]), np.float32)))

    def norm(self, x: Array, form: Form) -> Array:
        """Normalise x [N,H,W,C] by the statistics of the batch itself: no state can leak between architectures."""
        return batch_norm(x, self.scale[...], self.bias[...], form.eps)


class Bank(nnx.Module):
    """The depthwise options of one place in a block: nothing, or a kernel of one of several sizes, each with weights.

    Option 0 is nothing, option i the i-th kernel size of `kernels`; one more is the average of all that are allowed,
    which TuNAS uses to warm up (Bender et al. 2020, https://arxiv.org/abs/2008.06120).
    """

    def __init__(
        self, kernels: tuple[int, ...], channels: int, rng: np.random.Generator, stack: tuple[int, ...] = ()
    ) -> None:
        self.kernels = tuple(k for k in kernels if k)
        self.optional = 0 in kernels
        self.units = nnx.Dict({str(k): Unit((k, k, channels), rng, stack) for k in self.kernels})

    def index(self, kernel: int) -> int:
        """Return the option number of a kernel size, 0 for none."""
        return self.kernels.index(kernel) + 1 if kernel else 0

    @property
    def average(self) -> int:
        """The number of the averaging option."""
        return len(self.kernels) + 1

    def __call__(self, x: Array, option: Count, stride: int, act: Activation, form: Form) -> Array:
        """Apply the option numbered `option` to x [N,H,W,C]; with a stride above 1 "nothing" is no option."""

        def run(unit: Unit) -> Activation:
            return lambda z: act(unit.norm(depthwise(z, unit.weight[...].astype(z.dtype), stride, form.padding), form))

        kernels = [run(self.units[str(k)]) for k in self.kernels]
        allowed = ([_identity] if self.optional and stride == 1 else []) + kernels
        if len(allowed) < 2:
            return (allowed or [_identity])[0](x)

        def average(z: Array) -> Array:
            return sum((branch(z) for branch in allowed[1:]), start=allowed[0](z)) / len(allowed)

        branches = [allowed[0], *kernels, *([average] if form.averages else [])]
        return lax.switch(jnp.asarray(option), branches, x)


def _identity(x: Array) -> Array:
    return x


class Block(nnx.Module):
    """A searchable UIB block (or a stack of them) of the largest sizes; see `nas.ops.UIB` for the layers."""

    def __init__(
        self,
        channels: tuple[int, int, int],
        kernels: tuple[tuple[int, ...], tuple[int, ...]],
        stride: int,
        rng: np.random.Generator,
        stack: tuple[int, ...] = (),
    ) -> None:
        """Make a block of (input, expanded, output) `channels` with (start, middle) depthwise `kernels`."""
        channels_in, expanded, out = channels
        self.stride, self.residual = stride, bool(stack)
        self.start = Bank(kernels[0], channels_in, rng, stack)
        self.expand = Unit((channels_in, expanded), rng, stack)
        self.middle = Bank(kernels[1], expanded, rng, stack)
        self.project = Unit((expanded, out), rng, stack)
        if self.residual:  # a block begins as its skip (arXiv 1706.02677, section 5.1), so deep is no handicap at first
            self.project.scale.set_value(jax.device_put(np.zeros((*stack, out), np.float32)))

    def __call__(self, x: Array, start: Count, middle: Count, n_in: Count, n_expanded: Count, form: Form) -> Array:
        """Apply the block to x [N,H,W,C] with option numbers `start` and `middle` and channels in use."""
        if self.stride == 1 or not self.middle.optional:
            y = self._body(x, start, middle, (1, self.stride), n_in, n_expanded, form)
        else:  # the stride moves to the start where there is no middle depthwise: two bodies of different shapes inside
            y = lax.cond(
                middle == 0,
                lambda: self._body(x, start, None, (self.stride, 1), n_in, n_expanded, form),
                lambda: self._body(x, start, middle, (1, self.stride), n_in, n_expanded, form),
            )
        return x + y if self.residual else y

    def _body(
        self,
        x: Array,
        start: Count,
        middle: Count,
        strides: tuple[int, int],
        n_in: Count,
        n_expanded: Count,
        form: Form,
    ) -> Array:
        y = self.start(x, start, strides[0], _identity, form)
        y = pointwise(y, first_rows(self.expand.weight[...], n_in).astype(x.dtype))
        y = form.act(self.expand.norm(y, form))
        if middle is not None:
            y = self.middle(y, middle, strides[1], form.act, form)
        y = pointwise(y, first_rows(self.project.weight[...], n_expanded).astype(x.dtype))
        return self.project.norm(y, form)
