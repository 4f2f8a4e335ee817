"""The part that searchable blocks share: a depthwise convolution whose kernel size is an input of the program."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.primitives import depthwise
from nas.supernet.layers import Activation, BlockContext, ConvBN

Option = Array | int  # the number of a depthwise option


class SwitchableDepthwise(nnx.Module):
    """The depthwise options at one position of a block: none, or one of several kernel sizes, each with its weights.

    Option 0 is "none", option i the i-th of `kernel_sizes`. One number more is the average of all options that are
    allowed, which TuNAS uses to warm up (Bender et al. 2020, https://arxiv.org/abs/2008.06120).
    """

    def __init__(
        self, kernel_sizes: tuple[int, ...], channels: int, rng: np.random.Generator, stack: tuple[int, ...] = ()
    ) -> None:
        """Sample weights for each of `kernel_sizes`, ascending; a 0 among them allows "none"."""
        self.kernel_sizes = tuple(k for k in kernel_sizes if k)
        self.optional = 0 in kernel_sizes
        self.units = nnx.Dict({str(k): ConvBN((k, k, channels), rng, stack) for k in self.kernel_sizes})

    def __call__(self, x: Array, option: Option, stride: int, act: Activation, context: BlockContext) -> Array:
        """Apply the option numbered `option` to x [N,H,W,C]; with a stride above 1 "none" is not allowed."""

        def branch(unit: ConvBN) -> Activation:
            def run(z: Array) -> Array:
                weight = unit.weight[...].astype(z.dtype)
                return act(unit.norm(depthwise(z, weight, stride, context.padding), context))

            return run

        convolutions = [branch(self.units[str(k)]) for k in self.kernel_sizes]
        allowed = ([identity] if self.optional and stride == 1 else []) + convolutions
        if len(allowed) < 2:  # nothing to choose: no switch to compile
            return (allowed or [identity])[0](x)

        def average(z: Array) -> Array:
            return sum((run(z) for run in allowed[1:]), start=allowed[0](z)) / len(allowed)

        # The position in this list is the option number, so there is always an entry 0: "none", or where that is not
        # allowed the smallest kernel in its stead. The switch compiles every branch and runs one. That needs a scalar
        # option: under vmap all branches would run, which is why architectures are evaluated one after the other.
        branches = [allowed[0], *convolutions, *([average] if context.averages else [])]
        return lax.switch(jnp.asarray(option), branches, x)


def identity(x: Array) -> Array:
    """Return `x`: the option "none", and the activation of a convolution that has none."""
    return x
