"""The searchable fused inverted bottleneck: kernel size, expansion, squeeze-excite (or none)."""

from functools import partial
from typing import ClassVar

import numpy as np
from jax import Array

from nas.supernet.blocks.base import SearchableOp, chosen_act, zero_scale
from nas.supernet.blocks.conv import conv_of, convolved, run_size
from nas.supernet.blocks.squeeze_excite import SearchableSqueezeExcite
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableFusedIB(SearchableOp):
    """A fused inverted bottleneck with shared weights, or a stack of them; see `nas.ops.fused_ib.FusedIB`.

    Each kernel size has its own expansion.
    """

    IS_SIZED = True
    COUNTS = ("expanded_channels", "se_channels")
    NUMBERS = ("act", "residual", "kernel_size", "se_act")
    FIXED = ("se_gate",)
    TAKES_EVONORM = True
    LAYERS: ClassVar = {"se_reduce": "se.reduce", "se_expand": "se.expand"}

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack)
        sizes, expanded = tuple(ops.values("kernel_size")), ops.most("expanded_channels")
        self.expand = conv_of(sizes, (ops.in_channels, expanded), rng, stack)
        squeezed, optional = ops.most("se_channels"), not ops.always("se_channels")
        self.se = SearchableSqueezeExcite(expanded, squeezed, optional, rng, stack) if squeezed else None
        self.se_acts, (self.se_gate,) = tuple(ops.values("se_act")), ops.values("se_gate")
        self.project = ConvBN((expanded, ops.most("out_channels")), rng, stack)
        self.add_slopes_to(self.expand)
        if ops.always("residual"):
            zero_scale(self.project)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]."""
        y = run_size(self.expand, op["kernel_size"], partial(self._body, op, stride, context), x)
        return self.add_input(op, x, self.project.norm(y, context))

    def _body(self, op: Chosen, stride: int, context: BlockContext, expand: ConvBN, x: Array) -> Array:
        """Return the projection, before its normalisation, behind the expansion of one kernel size."""
        expanded = op["expanded_channels"]
        z = convolved(x, expand.weight[...], op[IN_CHANNELS], stride, context)
        z = self.behind(op, expand, expanded, context)(z)
        if self.se is not None:
            z = self.se(z, expanded, op["se_channels"], chosen_act(op["se_act"], self.se_acts), self.se_gate)
        return pointwise(z, mask_input_channels(self.project.weight[...], expanded).astype(z.dtype))
