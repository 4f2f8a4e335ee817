"""The searchable Universal Inverted Bottleneck (UIB): weights of the largest sizes, channel counts as masks."""

from typing import ClassVar

import numpy as np
from flax import nnx
from jax import Array, lax

from nas.supernet.blocks.base import Option, SearchableOp, SwitchableDepthwise, identity, zero_scale
from nas.supernet.blocks.chunks import InnerWeights, chunk_size, chunked
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps

VECTOR = 16  # chunks of expanded channels are multiples of it: whole vectors of the processor


class SearchableUIB(SearchableOp):
    """A UIB block with shared weights, or a stack of them: [start dw] expand [middle dw] project.

    See `nas.ops.uib.UIB` for the layers.
    """

    COUNTS = ("expanded_channels",)
    SWITCHED = ("start_sizes", "middle_sizes")
    PARTS: ClassVar = {"start_sizes": ("start_dw", "start_mix"), "middle_sizes": ("middle_dw", "middle_mix")}
    TAKES_EVONORM = True
    LAYERS: ClassVar = {"start_dw": "start.units", "middle_dw": "middle.units"}

    def __init__(
        self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = (), chunks: int = 1
    ) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack, chunks)
        expanded, out = ops.most("expanded_channels"), ops.most("out_channels")
        start, middle = (tuple(ops.values(field)) for field in ("start_sizes", "middle_sizes"))
        self.start = SwitchableDepthwise(start, ops.in_channels, rng, stack)
        self.expand = ConvBN((ops.in_channels, expanded), rng, stack)
        self.middle = SwitchableDepthwise(middle, expanded, rng, stack)
        # Groups of EvoNorm-S0 and shares of mixed kernels are of all channels in use, so that there are no chunks.
        self.chunk = chunk_size(expanded, 1 if self.evonorm or self.middle.is_mixed else chunks, VECTOR)
        self.project = ConvBN((expanded, out), rng, stack)
        self.add_slopes_to(self.expand, self.middle)
        if ops.always("residual"):
            zero_scale(self.project)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]."""
        middle: Option = op["middle_sizes"]
        if stride == 1 or not self.middle.optional:
            y = self._body(x, op, middle, (1, stride), context)
        else:
            # The middle depthwise strides; where there is none (option 0), the start depthwise does. The shapes inside
            # differ, so each case is a body of its own. Both give the same output shape, as `lax.cond` demands.
            y = lax.cond(
                middle == 0,
                lambda: self._body(x, op, None, (stride, 1), context),
                lambda: self._body(x, op, middle, (1, stride), context),
            )
        return self.add_input(op, x, y)

    def _body(
        self, x: Array, op: Chosen, middle: Option | None, strides: tuple[int, int], context: BlockContext
    ) -> Array:
        """Apply the layers with (start, middle) `strides`, without the middle depthwise where `middle` is None."""
        n_expanded = op["expanded_channels"]
        behind = self.behind_all(op, n_expanded, context)
        y = self.start(x, op["start_sizes"], strides[0], identity, context, op[IN_CHANNELS])
        graph, switch = nnx.split(self.middle)
        weights = InnerWeights(
            mask_input_channels(self.expand.weight[...], op[IN_CHANNELS]), self.expand.scale[...],
            self.expand.bias[...], switch,
            # The expansion has filled all channels of the largest size: the mask cuts them to those in use.
            mask_input_channels(self.project.weight[...], n_expanded),
        )  # fmt: skip

        def inner(x: Array, weights: InnerWeights, option: Option | None = None) -> Array:
            z = pointwise(x, weights.expand.astype(x.dtype))
            z = self.behind_of(op, weights.scale, weights.bias, self.expand.slopes, n_expanded, context)(z)
            if option is not None:
                z = nnx.merge(graph, weights.middle)(z, option, strides[1], behind, context, n_expanded)
            return pointwise(z, weights.project.astype(z.dtype))

        options = () if middle is None else (middle,)
        return self.project.norm(chunked(inner, y, weights, n_expanded, self.chunk, strides[1], *options), context)
