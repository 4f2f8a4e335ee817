"""The searchable inverted residual: kernel size, expansion (or none), squeeze-excite, coordinate attention, or none."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nas.supernet.blocks.base import SearchableOp, SwitchableDepthwise, chosen_act, zero_scale
from nas.supernet.blocks.coordinate_attention import SearchableCoordinateAttention
from nas.supernet.blocks.squeeze_excite import SearchableSqueezeExcite
from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, mask_input_channels
from nas.supernet.rounding import pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class SearchableInvertedResidual(SearchableOp):
    """An inverted residual with shared weights, or a stack of them: [expand] depthwise [squeeze-excite] project.

    See `nas.ops.inverted_residual.InvertedResidual`. Without expansion, the depthwise has the channels of the input.
    """

    IS_SIZED = True
    COUNTS = ("expanded_channels", "se_channels", "ca_channels")
    NUMBERS: ClassVar[tuple[str, ...]] = ("act", "residual", "se_act")
    SWITCHED: ClassVar[tuple[str, ...]] = ("kernel_size",)
    FIXED = ("se_gate",)
    TAKES_EVONORM: ClassVar[bool] = True
    LAYERS: ClassVar = {
        "depthwise": "depthwise.units", "se_reduce": "se.reduce", "se_expand": "se.expand", "ca_reduce": "ca.reduce",
        "ca_height": "ca.height", "ca_width": "ca.width",
    }  # fmt: skip

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each kernel size that occurs."""
        super().__init__(ops, rng, stack)
        channels, expanded = ops.in_channels, ops.most("expanded_channels")
        self.plain = not ops.always("expanded_channels")  # whether there may be no expansion
        width = max(expanded, channels if self.plain else 0)
        self.expand = ConvBN((channels, width), rng, stack) if expanded else None
        self.depthwise = SwitchableDepthwise(tuple(ops.values(self.SWITCHED[0])), width, rng, stack)
        squeezed, optional = ops.most("se_channels"), not ops.always("se_channels")
        self.se = SearchableSqueezeExcite(width, squeezed, optional, rng, stack) if squeezed else None
        reduced, optional = ops.most("ca_channels"), not ops.always("ca_channels")
        self.ca = SearchableCoordinateAttention(width, reduced, optional, rng, stack) if reduced else None
        self.se_acts, (self.se_gate,) = tuple(ops.values("se_act")), ops.values("se_gate")
        self.project = ConvBN((width, ops.most("out_channels")), rng, stack)
        self.add_slopes_to(self.expand, self.depthwise)
        if ops.always("residual"):
            zero_scale(self.project)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]."""
        used = self.used(op, x.shape[-1])
        y = self._expanded(x, op, context)
        y = self.depthwise(y, op[self.SWITCHED[0]], stride, self.behind_all(op, used, context), context, used)
        if self.se is not None:
            y = self.se(y, used, op["se_channels"], chosen_act(op["se_act"], self.se_acts), self.se_gate)
        if self.ca is not None:
            y = self.ca(y, used, op["ca_channels"], context)
        y = pointwise(y, mask_input_channels(self.project.weight[...], used).astype(y.dtype))
        return self.add_input(op, x, self.project.norm(y, context))

    def used(self, op: Chosen, most_in: int) -> ChannelCount:
        """Return how many channels of the depthwise convolution are in use."""
        expanded = op["expanded_channels"]
        if not self.plain:
            return expanded
        before = most_in if op[IN_CHANNELS] is None else op[IN_CHANNELS]
        return before if self.expand is None or expanded is None else jnp.where(expanded > 0, expanded, before)

    def _expanded(self, x: Array, op: Chosen, context: BlockContext) -> Array:
        """Return `x` expanded, or as it is in the first of as many channels."""

        def expand(x: Array) -> Array:
            assert self.expand is not None
            weight = mask_input_channels(self.expand.weight[...], op[IN_CHANNELS])
            y = pointwise(x, weight.astype(x.dtype))
            return self.behind(op, self.expand, op["expanded_channels"], context)(y)

        if self.expand is None:
            return x
        if not self.plain:
            return expand(x)
        width = self.expand.scale.shape[-1]
        return lax.cond(
            jnp.asarray(op["expanded_channels"]) > 0,
            expand,
            lambda x: jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, width - x.shape[-1]))),
            x,
        )
