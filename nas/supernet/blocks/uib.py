"""The searchable Universal Inverted Bottleneck: shared weights of the largest sizes, channel counts as masks."""

import jax
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.primitives import pointwise
from nas.supernet.blocks.base import SwitchableDepthwise, identity
from nas.supernet.layers import BlockContext, ConvBN, Count, mask_input_channels


class SearchableUIB(nnx.Module):
    """A searchable UIB block (or a stack of them) of the largest sizes; see `nas.ops.uib.UIB` for the layers."""

    def __init__(
        self,
        channels: tuple[int, int, int],
        kernels: tuple[tuple[int, ...], tuple[int, ...]],
        stride: int,
        rng: np.random.Generator,
        stack: tuple[int, ...] = (),
    ) -> None:
        """Make a block of (input, expanded, output) `channels` with (start, middle) depthwise `kernels`."""
        channels_in, expanded, out = channels
        self.stride, self.residual = stride, bool(stack)
        self.start = SwitchableDepthwise(kernels[0], channels_in, rng, stack)
        self.expand = ConvBN((channels_in, expanded), rng, stack)
        self.middle = SwitchableDepthwise(kernels[1], expanded, rng, stack)
        self.project = ConvBN((expanded, out), rng, stack)
        if self.residual:  # a block begins as its skip (arXiv 1706.02677, section 5.1), so deep is no handicap at first
            self.project.scale.set_value(jax.device_put(np.zeros((*stack, out), np.float32)))

    def __call__(
        self, x: Array, start: Count, middle: Count, n_in: Count, n_expanded: Count, form: BlockContext
    ) -> Array:
        """Apply the block to x [N,H,W,C] with option numbers `start` and `middle` and channels in use."""
        if self.stride == 1 or not self.middle.optional:
            y = self._body(x, start, middle, (1, self.stride), n_in, n_expanded, form)
        else:  # the stride moves to the start where there is no middle depthwise: two bodies of different shapes inside
            y = lax.cond(
                middle == 0,
                lambda: self._body(x, start, None, (self.stride, 1), n_in, n_expanded, form),
                lambda: self._body(x, start, middle, (1, self.stride), n_in, n_expanded, form),
            )
        return x + y if self.residual else y

    def _body(
        self,
        x: Array,
        start: Count,
        middle: Count,
        strides: tuple[int, int],
        n_in: Count,
        n_expanded: Count,
        form: BlockContext,
    ) -> Array:
        y = self.start(x, start, strides[0], identity, form)
        y = pointwise(y, mask_input_channels(self.expand.weight[...], n_in).astype(x.dtype))
        y = form.act(self.expand.norm(y, form))
        if middle is not None:
            y = self.middle(y, middle, strides[1], form.act, form)
        y = pointwise(y, mask_input_channels(self.project.weight[...], n_expanded).astype(x.dtype))
        return self.project.norm(y, form)
