"""The searchable Universal Inverted Bottleneck (UIB): weights of the largest sizes, channel counts as masks."""

import jax
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.primitives import batch_norm, pointwise
from nas.supernet.blocks.base import Option, SwitchableDepthwise, identity
from nas.supernet.blocks.chunks import InnerWeights, chunk_size, chunked
from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, mask_input_channels

VECTOR = 16  # chunks of expanded channels are multiples of it: whole vectors of the processor


class SearchableUIB(nnx.Module):
    """A UIB block with shared weights, or a stack of them: [start dw] expand [middle dw] project.

    See `nas.ops.uib.UIB` for the layers. A single block is the first of a stage: it may stride and has no skip. Blocks
    of a stack keep the shape of their input and add it to their output.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        kernel_sizes: tuple[tuple[int, ...], tuple[int, ...]],
        stride: int,
        rng: np.random.Generator,
        stack: tuple[int, ...] = (),
        chunks: int = 1,
    ) -> None:
        """Sample weights for (input, expanded, output) `channels` and (start, middle) depthwise `kernel_sizes`."""
        channels_in, expanded, out = channels
        self.stride, self.residual = stride, bool(stack)
        self.chunk = chunk_size(expanded, chunks, VECTOR)
        self.start = SwitchableDepthwise(kernel_sizes[0], channels_in, rng, stack)
        self.expand = ConvBN((channels_in, expanded), rng, stack)
        self.middle = SwitchableDepthwise(kernel_sizes[1], expanded, rng, stack)
        self.project = ConvBN((expanded, out), rng, stack)
        if self.residual:
            # A block with a skip begins as the identity (arXiv 1706.02677, section 5.1): the scale of its last
            # normalisation is 0. So deep architectures have no handicap at first.
            self.project.scale.set_value(jax.device_put(np.zeros((*stack, out), np.float32)))

    def __call__(
        self,
        x: Array,
        start: Option,
        middle: Option,
        n_in: ChannelCount,
        n_expanded: ChannelCount,
        context: BlockContext,
    ) -> Array:
        """Apply the block to x [N,H,W,C], with option numbers `start` and `middle` and the channels in use."""
        if self.stride == 1 or not self.middle.optional:
            y = self._body(x, start, middle, (1, self.stride), n_in, n_expanded, context)
        else:
            # The middle depthwise strides; where there is none (option 0), the start depthwise does. The shapes inside
            # differ, so each case is a body of its own. Both give the same output shape, as `lax.cond` demands.
            y = lax.cond(
                middle == 0,
                lambda: self._body(x, start, None, (self.stride, 1), n_in, n_expanded, context),
                lambda: self._body(x, start, middle, (1, self.stride), n_in, n_expanded, context),
            )
        return x + y if self.residual else y

    def _body(
        self,
        x: Array,
        start: Option,
        middle: Option | None,
        strides: tuple[int, int],
        n_in: ChannelCount,
        n_expanded: ChannelCount,
        context: BlockContext,
    ) -> Array:
        """Apply the layers with (start, middle) `strides`, without the middle depthwise where `middle` is None."""
        y = self.start(x, start, strides[0], identity, context)
        graph, switch = nnx.split(self.middle)
        weights = InnerWeights(
            mask_input_channels(self.expand.weight[...], n_in), self.expand.scale[...], self.expand.bias[...], switch,
            # The expansion has filled all channels of the largest size: the mask cuts them to those in use.
            mask_input_channels(self.project.weight[...], n_expanded),
        )  # fmt: skip

        def inner(x: Array, weights: InnerWeights, option: Option | None = None) -> Array:
            z = pointwise(x, weights.expand.astype(x.dtype))
            z = context.act(batch_norm(z, weights.scale, weights.bias, context.eps))
            if option is not None:
                z = nnx.merge(graph, weights.middle)(z, option, strides[1], context.act, context)
            return pointwise(z, weights.project.astype(z.dtype))

        options = () if middle is None else (middle,)
        return self.project.norm(chunked(inner, y, weights, n_expanded, self.chunk, strides[1], *options), context)
