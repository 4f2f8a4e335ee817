"""The searchable convolution."""

import numpy as np
from jax import Array

from nas.nn.primitives import conv2d, pointwise
from nas.ops import Kernel
from nas.supernet.blocks.base import SearchableOp
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableConv(SearchableOp, ConvBN):
    """A convolution with shared weights, or a stack of them; see `nas.ops.conv.Conv`. One kernel size."""

    NUMBERS = ("act",)

    def __init__(
        self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = (), chunks: int = 1
    ) -> None:
        """Sample weights for the largest of `ops`."""
        SearchableOp.__init__(self, ops, rng, stack, chunks)
        (size,) = ops.values("kernel_size")
        window = () if size == 1 else (size, size)
        ConvBN.__init__(self, (*window, ops.in_channels, ops.most("out_channels")), rng, stack)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the convolution to x [N,H,W,C]."""
        weight = mask_input_channels(self.weight[...], op[IN_CHANNELS]).astype(x.dtype)
        if weight.ndim == 2:
            y = pointwise(x[:, ::stride, ::stride], weight)
        else:
            y = conv2d(x, weight, stride, context.padding)
        return self.act(op)(self.norm(y, context))

    @classmethod
    def layer_of(cls, kernel: Kernel) -> str:
        """Return "": the module itself has the weights of its only kernel."""
        return ""
