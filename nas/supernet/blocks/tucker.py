"""The searchable Tucker convolution: kernel size and the ranks on both sides of it."""

from functools import partial

import numpy as np
from jax import Array

from nas.supernet.blocks.base import SearchableOp, zero_scale
from nas.supernet.blocks.conv import conv_of, convolved, run_size
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableTucker(SearchableOp):
    """A Tucker convolution with shared weights, or a stack of them; see `nas.ops.tucker.Tucker`.

    Each kernel size has its own k x k convolution; the 1x1 convolutions around it are shared.
    """

    IS_SIZED = True
    COUNTS = ("in_rank", "out_rank")
    NUMBERS = ("act", "residual", "kernel_size")
    TAKES_EVONORM = True

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack)
        ranks = ops.most("in_rank"), ops.most("out_rank")
        self.compress = ConvBN((ops.in_channels, ranks[0]), rng, stack)
        self.mix = conv_of(tuple(ops.values("kernel_size")), ranks, rng, stack)
        self.project = ConvBN((ranks[1], ops.most("out_channels")), rng, stack)
        self.add_slopes_to(self.compress, self.mix)
        if ops.always("residual"):
            zero_scale(self.project)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the convolution to x [N,H,W,C]."""
        compress = mask_input_channels(self.compress.weight[...], op[IN_CHANNELS])
        y = self.behind(op, self.compress, op["in_rank"], context)(pointwise(x, compress.astype(x.dtype)))
        y = run_size(self.mix, op["kernel_size"], partial(self._mixed, op, stride, context), y)
        y = pointwise(y, mask_input_channels(self.project.weight[...], op["out_rank"]).astype(y.dtype))
        return self.add_input(op, x, self.project.norm(y, context))

    def _mixed(self, op: Chosen, stride: int, context: BlockContext, layer: ConvBN, y: Array) -> Array:
        """Return the k x k convolution of one kernel size, with what stands behind it."""
        y = convolved(y, layer.weight[...], op["in_rank"], stride, context)
        return self.behind(op, layer, op["out_rank"], context)(y)
