"""The blocks of every network as Flax NNX modules, NHWC, with plain numbers as arguments; imports jax, flax and numpy.

An exporter copies this file and primitives.py verbatim into a stand-alone model, so nothing else is imported. A block's
attributes are its kernels, and a kernel's attributes its tensors: `weight` ([k, k, in, out], depthwise [k, k, C], 1x1
and dense [in, out]), `scale`, `bias`, `mean`, `var` of its normalisation, `gamma` of its layer scale.
Every layer computes in the dtype of its input; parameters and statistics are float32.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.primitives import Padding, batch_norm, conv2d, depthwise, pointwise

LAYER_SCALE_INIT = 1e-5  # MobileNetV4's hybrids
CLASSIFIER_STD = 0.01
BLOCK = 1 << 15  # random numbers drawn at once

ACTS: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "hswish": jax.nn.hard_swish,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
}
Normalise = Callable[["Normed", Array], Array]  # a layer and its output before normalisation -> after


def batch_statistics(layer: "Normed", y: Array) -> Array:
    """Normalise with the statistics of the batch itself: for training, nothing is remembered."""
    return batch_norm(y, layer.scale[...], layer.bias[...], layer.norm_eps)


def stored_statistics(layer: "Normed", y: Array) -> Array:
    """Normalise with the layer's stored mean and variance: for use after training."""
    factor = layer.scale[...] * jax.lax.rsqrt(layer.var[...] + layer.norm_eps)
    shift = layer.bias[...] - layer.mean[...] * factor
    return (y.astype(jnp.float32) * factor + shift).astype(y.dtype)


@jax.jit
def _normal_block(key: Array, number: int) -> Array:
    """Return block `number` of the endless sequence of normal numbers that `key` fixes."""
    return jax.random.normal(jax.random.fold_in(key, number), (BLOCK,))


def normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> nnx.Param[Array]:
    """Return a parameter of independent normal numbers, drawn in blocks: one compilation serves every shape."""
    key, size = rngs.params(), math.prod(shape)
    blocks = [_normal_block(key, number) for number in range(-(-size // BLOCK))]
    numbers: Any = jnp if isinstance(key, jax.core.Tracer) else np  # same values; on the host nothing is compiled
    return nnx.Param(jnp.asarray(std * numbers.concatenate(blocks)[:size].reshape(shape)))


def constant(value: float, channels: int) -> Array:
    """Return [channels] equal numbers, made on the host."""
    return jnp.asarray(np.full(channels, value, np.float32))


class Normed(nnx.Module):
    """Batch normalisation of [N, H, W, C], then activation, then layer scale: what follows a linear map."""

    def __init__(self, channels: int, *, act: str = "none", layer_scale: bool = False, norm_eps: float = 1e-5) -> None:
        self.scale = nnx.Param(constant(1, channels))
        self.bias = nnx.Param(constant(0, channels))
        self.mean = nnx.BatchStat(constant(0, channels))
        self.var = nnx.BatchStat(constant(1, channels))
        self.gamma = nnx.Param(constant(LAYER_SCALE_INIT, channels)) if layer_scale else None
        self.act, self.norm_eps = act, norm_eps

    def finish(self, y: Array, normalise: Normalise) -> Array:
        """Return `y` normalised, activated and scaled."""
        y = ACTS[self.act](normalise(self, y))
        return y if self.gamma is None else y * self.gamma[...].astype(y.dtype)


class Norm(Normed):
    """Normalisation alone."""

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.finish(x, normalise)


class Convolution(Normed):
    """Dense k x k convolution [N, H, W, in] -> [N, H', W', out] with normalisation; a matrix product for k = 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
        padding: Padding = "symmetric",
        **norm: Any,
    ) -> None:
        super().__init__(out_channels, **norm)
        window = () if kernel == 1 else (kernel, kernel)
        std = (2 / (kernel**2 * out_channels)) ** 0.5
        self.weight = normal(rngs, (*window, in_channels, out_channels), std)
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        weight = self.weight[...].astype(x.dtype)
        if self.kernel == 1:
            return self.finish(pointwise(x[:, :: self.stride, :: self.stride], weight), normalise)
        return self.finish(conv2d(x, weight, self.stride, self.padding), normalise)


class Depthwise(Normed):
    """Depthwise k x k convolution [N, H, W, C] -> [N, H', W', C] with normalisation."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        stride: int = 1,
        *,
        rngs: nnx.Rngs,
        padding: Padding = "symmetric",
        **norm: Any,
    ) -> None:
        super().__init__(channels, **norm)
        self.weight = normal(rngs, (kernel, kernel, channels), (2 / kernel**2) ** 0.5)
        self.stride, self.padding = stride, padding

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.finish(depthwise(x, self.weight[...].astype(x.dtype), self.stride, self.padding), normalise)


class Linear(nnx.Module):
    """Matrix product over the last axis without normalisation, with or without bias and layer scale."""

    def __init__(
        self,
        features: int,
        out: int,
        *,
        rngs: nnx.Rngs,
        bias: bool = False,
        layer_scale: bool = False,
        std: float | None = None,
    ) -> None:
        self.weight = normal(rngs, (features, out), features**-0.5 if std is None else std)
        self.bias = nnx.Param(constant(0, out)) if bias else None
        self.gamma = nnx.Param(constant(LAYER_SCALE_INIT, out)) if layer_scale else None

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight[...].astype(x.dtype)
        if self.bias is not None:
            y += self.bias[...].astype(x.dtype)
        return y if self.gamma is None else y * self.gamma[...].astype(x.dtype)


class Conv(nnx.Module):
    """k x k convolution, normalisation, activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, act: str = "relu", **common: Any
    ) -> None:
        self.conv = Convolution(in_channels, out_channels, kernel, stride, act=act, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.conv(x, normalise)


class FusedIB(nnx.Module):
    """k x k expansion with stride and activation, 1 x 1 projection."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel: int = 3,
        stride: int = 1,
        act: str = "relu",
        residual: bool = False,
        layer_scale: bool = False,
        **common: Any,
    ) -> None:
        self.residual = residual
        self.expand = Convolution(in_channels, expanded_channels, kernel, stride, act=act, **common)
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = self.project(self.expand(x, normalise), normalise)
        return x + y if self.residual else y


class UIB(nnx.Module):
    """Universal Inverted Bottleneck, arXiv 2404.10518: [start depthwise] - expand - [middle depthwise] - project."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        start_dw: int = 0,
        middle_dw: int = 3,
        stride: int = 1,
        act: str = "relu",
        residual: bool = False,
        layer_scale: bool = False,
        **common: Any,
    ) -> None:
        self.residual = residual
        start_stride = 1 if middle_dw else stride
        self.start_dw = Depthwise(in_channels, start_dw, start_stride, **common) if start_dw else None
        self.expand = Convolution(in_channels, expanded_channels, act=act, **common)
        self.middle_dw = Depthwise(expanded_channels, middle_dw, stride, act=act, **common) if middle_dw else None
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.start_dw is None else self.start_dw(x, normalise)
        y = self.expand(y, normalise)
        y = y if self.middle_dw is None else self.middle_dw(y, normalise)
        y = self.project(y, normalise)
        return x + y if self.residual else y


class SeparableConv(nnx.Module):
    """MobileNetV1's block: depthwise and 1 x 1, each with activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, act: str = "relu", **common: Any
    ) -> None:
        self.depthwise = Depthwise(in_channels, kernel, stride, act=act, **common)
        self.pointwise = Convolution(in_channels, out_channels, act=act, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.pointwise(self.depthwise(x, normalise), normalise)


class InvertedResidual(nnx.Module):
    """MobileNetV2's and V3's block: [expand] - depthwise - [squeeze-excite] - project."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel: int = 3,
        stride: int = 1,
        act: str = "relu6",
        se_channels: int = 0,
        residual: bool = False,
        **common: Any,
    ) -> None:
        self.residual = residual
        width = expanded_channels or in_channels
        self.expand = Convolution(in_channels, width, act=act, **common) if expanded_channels else None
        self.depthwise = Depthwise(width, kernel, stride, act=act, **common)
        rngs = common["rngs"]
        self.se_reduce = Linear(width, se_channels, bias=True, rngs=rngs) if se_channels else None
        self.se_expand = Linear(se_channels, width, bias=True, rngs=rngs) if se_channels else None
        self.project = Convolution(width, out_channels, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.expand is None else self.expand(x, normalise)
        y = self.depthwise(y, normalise)
        if self.se_reduce is not None and self.se_expand is not None:
            gate = jax.nn.relu(self.se_reduce(y.mean((1, 2), keepdims=True)))
            y = y * jax.nn.hard_sigmoid(self.se_expand(gate))
        y = self.project(y, normalise)
        return x + y if self.residual else y


class MobileMQA(nnx.Module):
    """Multi-query attention over the positions of a map with one key and one value head, arXiv 2404.10518, Eq. 2."""

    def __init__(
        self,
        in_channels: int,
        heads: int,
        key_dim: int,
        value_dim: int,
        kv_stride: int = 1,
        residual: bool = True,
        layer_scale: bool = True,
        **common: Any,
    ) -> None:
        self.heads, self.residual = heads, residual
        rngs, strided = common["rngs"], kv_stride > 1
        self.norm = Norm(in_channels, norm_eps=common["norm_eps"])
        self.query = Linear(in_channels, heads * key_dim, rngs=rngs)
        self.key_dw = Depthwise(in_channels, 3, kv_stride, **common) if strided else None
        self.key = Linear(in_channels, key_dim, rngs=rngs)
        self.value_dw = Depthwise(in_channels, 3, kv_stride, **common) if strided else None
        self.value = Linear(in_channels, value_dim, rngs=rngs)
        self.output = Linear(heads * value_dim, in_channels, rngs=rngs, layer_scale=layer_scale)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        n, height, width, _ = x.shape
        normed = self.norm(x, normalise)
        query = self.query(normed).reshape(n, height * width, self.heads, -1)
        key = self.key(normed if self.key_dw is None else self.key_dw(normed, normalise))
        value = self.value(normed if self.value_dw is None else self.value_dw(normed, normalise))
        key, value = (one.reshape(n, -1, one.shape[-1]) for one in (key, value))
        # contracted indices last and outputs in the order of the inputs, so that no transpose is inserted
        scores = jnp.einsum("bnhk,bmk->bnhm", query, key) * key.shape[-1] ** -0.5
        attention = jax.nn.softmax(scores.astype(jnp.float32)).astype(x.dtype)
        mixed = jnp.einsum("bnhm,bmv->bnhv", attention, value)
        y = self.output(mixed.reshape(n, height, width, -1))
        return x + y if self.residual else y


class Head(nnx.Module):
    """Global average pool, optional hidden layer, classifier: [N, H, W, C] -> float32 logits [N, classes]."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden: int = 0,
        hidden_norm: bool = True,
        act: str = "relu",
        **common: Any,
    ) -> None:
        self.act, rngs = act, common["rngs"]
        layer: Convolution | Linear | None = None
        if hidden and hidden_norm:
            layer = Convolution(in_channels, hidden, act=act, **common)
        elif hidden:
            layer = Linear(in_channels, hidden, bias=True, rngs=rngs)
        self.hidden = layer
        self.classifier = Linear(hidden or in_channels, num_classes, bias=True, std=CLASSIFIER_STD, rngs=rngs)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x.mean((1, 2), keepdims=True)
        if isinstance(self.hidden, Convolution):
            y = self.hidden(y, normalise)
        elif self.hidden is not None:
            y = ACTS[self.act](self.hidden(y))
        return self.classifier(y[:, 0, 0]).astype(jnp.float32)
