"""What searchable blocks are made of: depthwise convolutions whose kernel size is an input."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.primitives import depthwise
from nas.supernet.layers import Activation, BlockContext, ConvBN, Count


class SwitchableDepthwise(nnx.Module):
    """The depthwise options of one place in a block: nothing, or a kernel of one of several sizes, each with weights.

    Option 0 is nothing, option i the i-th kernel size of `kernels`; one more is the average of all that are allowed,
    which TuNAS uses to warm up (Bender et al. 2020, https://arxiv.org/abs/2008.06120).
    """

    def __init__(
        self, kernels: tuple[int, ...], channels: int, rng: np.random.Generator, stack: tuple[int, ...] = ()
    ) -> None:
        self.kernels = tuple(k for k in kernels if k)
        self.optional = 0 in kernels
        self.units = nnx.Dict({str(k): ConvBN((k, k, channels), rng, stack) for k in self.kernels})

    def index(self, kernel_size: int) -> int:
        """Return the option number of a kernel size, 0 for none."""
        return self.kernels.index(kernel_size) + 1 if kernel_size else 0

    @property
    def average(self) -> int:
        """The number of the averaging option."""
        return len(self.kernels) + 1

    def __call__(self, x: Array, option: Count, stride: int, act: Activation, form: BlockContext) -> Array:
        """Apply the option numbered `option` to x [N,H,W,C]; with a stride above 1 "nothing" is no option."""

        def run(unit: ConvBN) -> Activation:
            return lambda z: act(unit.norm(depthwise(z, unit.weight[...].astype(z.dtype), stride, form.padding), form))

        kernels = [run(self.units[str(k)]) for k in self.kernels]
        allowed = ([identity] if self.optional and stride == 1 else []) + kernels
        if len(allowed) < 2:
            return (allowed or [identity])[0](x)

        def average(z: Array) -> Array:
            return sum((branch(z) for branch in allowed[1:]), start=allowed[0](z)) / len(allowed)

        branches = [allowed[0], *kernels, *([average] if form.averages else [])]
        return lax.switch(jnp.asarray(option), branches, x)


def identity(x: Array) -> Array:
    return x
