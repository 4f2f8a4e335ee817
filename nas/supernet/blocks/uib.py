"""The searchable Universal Inverted Bottleneck (UIB): weights of the largest sizes, channel counts as masks."""

from typing import ClassVar

import numpy as np
from jax import Array, lax

from nas.supernet.blocks.base import Option, SearchableOp, SwitchableDepthwise, identity, zero_scale
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableUIB(SearchableOp):
    """A UIB block with shared weights, or a stack of them: [start dw] expand [middle dw] project.

    See `nas.ops.uib.UIB` for the layers.
    """

    IS_SIZED = True
    COUNTS = ("expanded_channels",)
    SWITCHED = ("start_sizes", "middle_sizes")
    PARTS: ClassVar = {"start_sizes": ("start_dw", "start_mix"), "middle_sizes": ("middle_dw", "middle_mix")}
    TAKES_EVONORM = True
    LAYERS: ClassVar = {"start_dw": "start.units", "middle_dw": "middle.units"}

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack)
        expanded, out = ops.most("expanded_channels"), ops.most("out_channels")
        start, middle = (tuple(ops.values(field)) for field in ("start_sizes", "middle_sizes"))
        self.start = SwitchableDepthwise(start, ops.in_channels, rng, stack)
        self.expand = ConvBN((ops.in_channels, expanded), rng, stack)
        self.middle = SwitchableDepthwise(middle, expanded, rng, stack)
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
        y = self.start(x, op["start_sizes"], strides[0], identity, context, op[IN_CHANNELS])
        y = pointwise(y, mask_input_channels(self.expand.weight[...], op[IN_CHANNELS]).astype(y.dtype))
        y = self.behind(op, self.expand, n_expanded, context)(y)
        if middle is not None:
            y = self.middle(y, middle, strides[1], self.behind_all(op, n_expanded, context), context, n_expanded)
        # The expansion has filled all channels of the largest size: the mask cuts them to those in use.
        y = pointwise(y, mask_input_channels(self.project.weight[...], n_expanded).astype(y.dtype))
        return self.project.norm(y, context)
