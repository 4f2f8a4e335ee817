"""The searchable convolution, and a convolution of one of several kernel sizes."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.ops import Kernel
from nas.supernet.blocks.base import Option, SearchableOp
from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, mask_input_channels, window_on
from nas.supernet.rounding import conv2d, pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps

UNITS = "units"  # attribute of a layer of several kernel sizes: a layer for each


class SwitchableConv(nnx.Module):
    """The layers of a convolution whose kernel size is a choice: each size has its weights and its normalisation."""

    def __init__(
        self, kernel_sizes: tuple[int, ...], channels: tuple[int, int], rng: np.random.Generator, stack: tuple[int, ...]
    ) -> None:
        """Sample weights for each of `kernel_sizes`, ascending; `channels` are (in, out)."""
        self.units = nnx.Dict({str(k): _plain(k, channels, rng, stack) for k in kernel_sizes})
        self.kernel_sizes = kernel_sizes


def conv_of(
    kernel_sizes: tuple[int, ...], channels: tuple[int, int], rng: np.random.Generator, stack: tuple[int, ...] = ()
) -> ConvBN | SwitchableConv:
    """Return the layer of a convolution of one of `kernel_sizes`, ascending; of a single one it is a plain layer."""
    if len(kernel_sizes) > 1:
        return SwitchableConv(kernel_sizes, channels, rng, stack)
    (size,) = kernel_sizes
    return _plain(size, channels, rng, stack)


def _plain(size: int, channels: tuple[int, int], rng: np.random.Generator, stack: tuple[int, ...]) -> ConvBN:
    """Return the layer of a convolution of one kernel size; a 1x1 has no window."""
    return ConvBN((*(() if size == 1 else (size, size)), *channels), rng, stack)


def run_size(layer: ConvBN | SwitchableConv, option: Option, run: Callable[[ConvBN, Array], Array], x: Array) -> Array:
    """Return `run(unit, x)` with the layer of the kernel size number `option`: what is behind it may depend on it."""
    if isinstance(layer, ConvBN):
        return run(layer, x)
    branches = [partial(run, layer.units[str(k)]) for k in layer.kernel_sizes]
    return lax.switch(jnp.asarray(option), branches, x)


def convolved(x: Array, weight: Array, n_in: ChannelCount, stride: int, context: BlockContext) -> Array:
    """Return the convolution of x [N,H,W,C], of which `n_in` channels are in use, with a weight [k,k,in,out] or 1x1."""
    weight = mask_input_channels(weight, n_in).astype(x.dtype)
    if weight.ndim == 2:
        return pointwise(x[:, ::stride, ::stride], weight)
    return conv2d(x, window_on(x, weight), stride, context.padding)


class SearchableConv(SearchableOp, ConvBN):
    """A convolution with shared weights, or a stack of them; see `nas.ops.conv.Conv`.

    With one kernel size it is its only layer; with several, `units` has one for each.
    """

    IS_SIZED = True
    NUMBERS = ("act", "kernel_size")
    TAKES_EVONORM = True

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        SearchableOp.__init__(self, ops, rng, stack)
        sizes, channels = tuple(ops.values("kernel_size")), (ops.in_channels, ops.most("out_channels"))
        self.kernel_sizes = sizes
        if len(sizes) > 1:
            self.units = SwitchableConv(sizes, channels, rng, stack).units
            self.add_slopes_to(*self.units.values())
        else:
            window = () if sizes == (1,) else (*sizes, *sizes)
            ConvBN.__init__(self, (*window, *channels), rng, stack)
            self.add_slopes_to(self)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the convolution to x [N,H,W,C]."""

        def run(layer: ConvBN, x: Array) -> Array:
            y = convolved(x, layer.weight[...], op[IN_CHANNELS], stride, context)
            return self.behind(op, layer, self.filters(op), context)(y)

        if len(self.kernel_sizes) == 1:
            return run(self, x)
        branches = [partial(run, self.units[str(k)]) for k in self.kernel_sizes]
        return lax.switch(jnp.asarray(op["kernel_size"]), branches, x)

    @classmethod
    def layer_of(cls, kernel: Kernel) -> str:
        """Return "": the module itself has the weights of its only kernel."""
        return ""
