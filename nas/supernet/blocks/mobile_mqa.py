"""The searchable mobile multi-query attention: weights of the most heads and the largest sizes, fewer as masks."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.nn.layers import LAYER_SCALE_INIT
from nas.nn.primitives import batch_norm
from nas.ops import Kernel, MobileMQA, Op
from nas.supernet.blocks.base import Index, SearchableOp
from nas.supernet.layers import Activation, BlockContext, ConvBN, mask_input_channels, normal, window_on
from nas.supernet.rounding import depthwise, pointwise
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps


class BatchNorm(nnx.Module):
    """The scale and bias [C] of a batch normalisation without a convolution in front, or those of n blocks stacked."""

    def __init__(self, channels: int, stack: tuple[int, ...] = ()) -> None:
        self.scale = nnx.Param(jax.device_put(np.ones((*stack, channels), np.float32)))
        self.bias = nnx.Param(jax.device_put(np.zeros((*stack, channels), np.float32)))

    def __call__(self, x: Array, context: BlockContext) -> Array:
        """Normalise x [N,H,W,C] by the statistics of the batch itself."""
        return batch_norm(x, self.scale[...], self.bias[...], context.eps)


class Projection(nnx.Module):
    """The weight of a linear map that may have an axis of heads, without bias, with or without layer scale [C]."""

    def __init__(
        self, shape: tuple[int, ...], fan_in: int, rng: np.random.Generator, stack: tuple[int, ...] = (),
        layer_scale: bool = False,
    ) -> None:  # fmt: skip
        """Sample a weight of `shape`, with unit variance behind it, and begin as the stand-alone layer does."""
        self.weight = nnx.Param(jax.device_put(normal(rng, (*stack, *shape), fan_in**-0.5)))
        gamma = np.full((*stack, shape[-1]), LAYER_SCALE_INIT, np.float32)
        self.gamma = nnx.Param(jax.device_put(gamma)) if layer_scale else None


class SearchableMobileMQA(SearchableOp):
    """Mobile multi-query attention with shared weights, or a stack of them (MobileNetV4, arXiv 2404.10518, Eq. 2).

    Queries lie as [C, heads, key_dim], outputs as [heads, value_dim, C]: so fewer heads and smaller ones are prefixes
    along axes of their own, where the layer of a network has one axis for both. Each `kv_stride` above 1 has
    depthwise convolutions of its own; the shapes behind them differ, so each stride is a branch of a `lax.switch`.
    See `nas.ops.mobile_mqa.MobileMQA` for the layers.
    """

    IS_SIZED = True
    COUNTS = ("heads", "key_dim", "value_dim")
    NUMBERS = ("kv_stride", "residual")

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Sample weights for the largest of `ops`, and for each stride of keys and values that occurs."""
        super().__init__(ops, rng, stack)
        channels, heads = ops.in_channels, ops.most("heads")
        self.key_dim, value_dim = ops.most("key_dim"), ops.most("value_dim")
        self.strides = tuple(ops.values("kv_stride"))
        (layer_scale,) = ops.values("layer_scale")

        def strided() -> nnx.Dict[ConvBN]:
            return nnx.Dict({str(s): ConvBN((3, 3, channels), rng, stack) for s in self.strides if s > 1})

        self.norm = BatchNorm(channels, stack)
        self.query = Projection((channels, heads, self.key_dim), channels, rng, stack)
        self.key_dw, self.key = strided(), Projection((channels, self.key_dim), channels, rng, stack)
        self.value_dw, self.value = strided(), Projection((channels, value_dim), channels, rng, stack)
        self.output = Projection((heads, value_dim, channels), heads * value_dim, rng, stack, layer_scale)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the block to x [N,H,W,C]; its own stride is 1."""
        normed = self.norm(x, context)

        def branch(kv_stride: int) -> Activation:
            def run(normed: Array) -> Array:
                key = self._shared_head(normed, op, self.key_dw, self.key, kv_stride, context)
                value = self._shared_head(normed, op, self.value_dw, self.value, kv_stride, context)
                return self._attended(normed, key, value, op)

            return run

        branches = [branch(kv_stride) for kv_stride in self.strides]
        which = op["kv_stride"]
        y = branches[which](normed) if isinstance(which, int) else lax.switch(which, branches, normed)
        if self.output.gamma is not None:
            y = y * self.output.gamma[...].astype(y.dtype)
        return self.add_input(op, x, y)

    def _shared_head(
        self, normed: Array, op: Chosen, down: "nnx.Dict[ConvBN]", head: Projection, stride: int, context: BlockContext
    ) -> Array:
        """Return the one key or value head [N, positions, size] of the normalised input [N,H,W,C]."""
        if stride > 1:
            layer = down[str(stride)]
            weight = window_on(normed, layer.weight[...].astype(normed.dtype))
            normed = layer.norm(depthwise(normed, weight, stride, context.padding), context)
        weight = mask_input_channels(head.weight[...], op[IN_CHANNELS])
        found = pointwise(normed, weight.astype(normed.dtype))
        return found.reshape(len(found), -1, found.shape[-1])

    def _attended(self, normed: Array, key: Array, value: Array, op: Chosen) -> Array:
        """Return the sum over heads of what they attend to, projected to [N,H,W,C]."""
        # A product over a key dimension that is not in use is 0 with either factor masked; so it is with the values
        # and their projection. Heads that are not in use are rows of zeros of the projection.
        query = mask_input_channels(self.query.weight[...], op[IN_CHANNELS], -3)
        query = mask_input_channels(query, op["key_dim"], -1)
        output = mask_input_channels(self.output.weight[...], op["value_dim"])
        output = mask_input_channels(output, op["heads"], -3)
        size = self.key_dim if op["key_dim"] is None else op["key_dim"]
        factor = jnp.asarray(size, jnp.float32) ** -0.5
        shared = normed.reshape(len(normed), -1, normed.shape[-1]), key, value, factor
        return _heads(shared, (query, output)).reshape(normed.shape)

    @classmethod
    def layer_of(cls, kernel: Kernel) -> str:
        """Return the path of the layer with the weights of a kernel: depthwise ones lie by their stride."""
        layer = kernel.name.rpartition(".")[2]
        return f"{layer}.{kernel.stride}" if kernel.kind == "depthwise" else layer

    @classmethod
    def slice_of(cls, op: Op, kernel: Kernel, tensor: str, first: int = 0) -> Index:
        """Return which entries of the layer's tensor a network uses; heads and their size are two axes here."""
        layer = kernel.name.rpartition(".")[2]
        if tensor != "weight" or layer not in ("query", "output"):
            return super().slice_of(op, kernel, tensor, first)
        assert isinstance(op, MobileMQA)
        size = op.key_dim if layer == "query" else op.value_dim
        grid = np.repeat(np.arange(op.heads), size), np.tile(np.arange(size), op.heads)
        channels = slice(kernel.in_shape.channels), slice(kernel.out_shape.channels)
        return (channels[0], *grid) if layer == "query" else (*grid, channels[1])


def _heads(shared: tuple[Array, Array, Array, Array], weights: tuple[Array, Array]) -> Array:
    """Return the projected sum [N, positions, C] over the heads of `weights`, of (normed, key, value, score factor)."""
    (normed, key, value, factor), (query, output) = shared, weights
    queries = jnp.einsum("bnc,chk->bnhk", normed, query.astype(normed.dtype))
    scores = jnp.einsum("bnhk,bmk->bnhm", queries, key).astype(jnp.float32) * factor
    mixed = jnp.einsum("bnhm,bmv->bnhv", jax.nn.softmax(scores).astype(normed.dtype), value)
    return jnp.einsum("bnhv,hvc->bnc", mixed, output.astype(normed.dtype))
