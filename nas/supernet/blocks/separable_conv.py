"""The searchable depthwise-separable convolution: kernel size and channels."""

from typing import ClassVar

import numpy as np
from jax import Array

from nas.supernet.blocks.base import SearchableOp, SwitchableDepthwise
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableSeparableConv(SearchableOp):
    """A depthwise-separable convolution with shared weights, or a stack of them; see `nas.ops.conv.SeparableConv`."""

    IS_SIZED = True
    NUMBERS = ("act",)
    PARTS: ClassVar = {"kernel_sizes": ("kernel_size", "mix")}
    TAKES_EVONORM = True
    SWITCHED = ("kernel_sizes",)
    LAYERS: ClassVar = {"depthwise": "depthwise.units"}

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack)
        self.depthwise = SwitchableDepthwise(tuple(ops.values("kernel_sizes")), ops.in_channels, rng, stack)
        self.pointwise = ConvBN((ops.in_channels, ops.most("out_channels")), rng, stack)
        self.add_slopes_to(self.depthwise, self.pointwise)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]."""
        used = op[IN_CHANNELS]
        y = self.depthwise(x, op["kernel_sizes"], stride, self.behind_all(op, used, context), context, used)
        weight = mask_input_channels(self.pointwise.weight[...], op[IN_CHANNELS])
        y = pointwise(y, weight.astype(y.dtype))
        return self.behind(op, self.pointwise, self.filters(op), context)(y)
