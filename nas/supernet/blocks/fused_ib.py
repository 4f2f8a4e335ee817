"""The searchable fused inverted bottleneck."""

import numpy as np
from jax import Array

from nas.nn.primitives import batch_norm, conv2d, pointwise
from nas.supernet.blocks.base import SearchableOp, zero_scale
from nas.supernet.blocks.chunks import InnerWeights, chunk_size, chunked
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps

VECTOR = 8  # chunks of expanded channels are multiples of it


class SearchableFusedIB(SearchableOp):
    """A fused inverted bottleneck with shared weights, or a stack of them; see `nas.ops.fused_ib.FusedIB`."""

    COUNTS = ("expanded_channels",)

    def __init__(
        self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = (), chunks: int = 1
    ) -> None:
        """Sample weights for the largest of `ops`."""
        super().__init__(ops, rng, stack, chunks)
        (size,), expanded = ops.values("kernel_size"), ops.most("expanded_channels")
        self.chunk = chunk_size(expanded, chunks, VECTOR)
        self.expand = ConvBN((size, size, ops.in_channels, expanded), rng, stack)
        self.project = ConvBN((expanded, ops.most("out_channels")), rng, stack)
        if ops.always("residual"):
            zero_scale(self.project)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]."""
        expanded, act = op["expanded_channels"], self.act(op)
        weights = InnerWeights(
            mask_input_channels(self.expand.weight[...], op[IN_CHANNELS]), self.expand.scale[...],
            self.expand.bias[...], None, mask_input_channels(self.project.weight[...], expanded),
        )  # fmt: skip

        def inner(x: Array, weights: InnerWeights) -> Array:
            z = conv2d(x, weights.expand.astype(x.dtype), stride, context.padding)
            z = act(batch_norm(z, weights.scale, weights.bias, context.eps))
            return pointwise(z, weights.project.astype(z.dtype))

        y = self.project.norm(chunked(inner, x, weights, expanded, self.chunk, stride), context)
        return self.add_input(op, x, y)
