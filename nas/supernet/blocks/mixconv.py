"""The searchable MixNet block: kernel sizes of the depthwise convolution, expansion (or none), squeeze-excite."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.primitives import batch_norm, depthwise
from nas.supernet.blocks.base import Option
from nas.supernet.blocks.inverted_residual import SearchableInvertedResidual
from nas.supernet.layers import Activation, BlockContext, ChannelCount, ConvBN
from nas.supernet.tables import Chosen, PossibleOps


class MixedDepthwise(nnx.Module):
    """A depthwise convolution that shares its channels among the kernel sizes of one of several tuples.

    Each kernel size has weights and a normalisation for all channels, whatever the tuples that it occurs in.
    """

    def __init__(
        self,
        options: tuple[tuple[int, ...], ...],
        channels: int,
        rng: np.random.Generator,
        stack: tuple[int, ...] = (),
    ) -> None:
        """Sample weights for each kernel size that occurs in `options`."""
        self.options = options
        sizes = sorted({size for option in options for size in option})
        self.units = nnx.Dict({str(k): ConvBN((k, k, channels), rng, stack) for k in sizes})

    def __call__(
        self, x: Array, option: Option, used: ChannelCount, stride: int, act: Activation, context: BlockContext
    ) -> Array:
        """Apply the tuple number `option` to x [N,H,W,C], of which the first `used` channels are in use."""
        branches = [partial(self._mixed, sizes, used, stride, act, context) for sizes in self.options]
        return branches[0](x) if len(branches) == 1 else lax.switch(jnp.asarray(option), branches, x)

    def _mixed(
        self, sizes: tuple[int, ...], used: ChannelCount, stride: int, act: Activation, context: BlockContext, x: Array
    ) -> Array:
        """Return `act` of the normalised convolution with `sizes`, in one pass: small windows lie in the largest."""
        largest, channels = max(sizes), x.shape[-1]
        share = share_of_channels(channels if used is None else used, len(sizes), channels)
        weight, scale, bias = (jnp.zeros(()),) * 3
        for number, size in enumerate(sizes):
            unit, rim, mine = self.units[str(size)], (largest - size) // 2, share == number
            window = jnp.pad(unit.weight[...], ((rim, rim), (rim, rim), (0, 0)))
            weight, scale, bias = (
                jnp.where(mine, own, rest)
                for own, rest in ((window, weight), (unit.scale[...], scale), (unit.bias[...], bias))
            )
        y = depthwise(x, weight.astype(x.dtype), stride, context.padding)
        return act(batch_norm(y, scale, bias, context.eps))


def share_of_channels(used: Array | int, shares: int, channels: int) -> Array:
    """Return the number of the share [channels] that each channel falls in, of `used` ones in equal `shares`.

    The remainder is in the first, as in `nas.ops.kernels.split_channels`; channels beyond those are in the last.
    """
    each = jnp.maximum(used // shares, 1)
    first = used - each * (shares - 1)
    behind = jnp.arange(channels) - first
    return jnp.where(behind < 0, 0, jnp.minimum(1 + behind // each, shares - 1))


class SearchableMixConv(SearchableInvertedResidual):
    """A MixNet block with shared weights, or a stack of them; see `nas.ops.mixconv.MixConv`."""

    NUMBERS = ("act", "residual", "se_act", "kernel_sizes")
    SWITCHED = ()
    TAKES_EVONORM = False

    def make_depthwise(
        self, ops: PossibleOps, width: int, rng: np.random.Generator, stack: tuple[int, ...]
    ) -> MixedDepthwise:
        return MixedDepthwise(tuple(ops.values("kernel_sizes")), width, rng, stack)

    def run_depthwise(self, y: Array, op: Chosen, used: ChannelCount, stride: int, context: BlockContext) -> Array:
        assert isinstance(self.depthwise, MixedDepthwise)
        return self.depthwise(y, op["kernel_sizes"], used, stride, self.act(op), context)
