"""The blocks of every network as Flax NNX modules, NHWC, with plain numbers as arguments; imports jax, flax and numpy.

An exporter copies this file, primitives.py and layers.py verbatim into a stand-alone model, and nothing else.
A block's attributes are its kernels: one layer each, or a list of layers that share the channels.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.layers import ACTS, GATES, Convolution, Depthwise, Linear, Norm, Normalise, Normed

CLASSIFIER_STD = 0.01


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


class Bottleneck(nnx.Module):
    """[expand] - depthwise - [squeeze-excite] - project: each one layer, or a list that shares the channels."""

    expand: Any
    depthwise: Any
    project: Any

    def __init__(self, *, residual: bool, se_act: str, se_gate: str) -> None:
        self.residual, self.se_act, self.se_gate = residual, se_act, se_gate

    def add_gate(self, width: int, se_channels: int, rngs: nnx.Rngs) -> None:
        """Make the layers of the squeeze-excite, none for 0 channels."""
        self.se_reduce = Linear(width, se_channels, bias=True, rngs=rngs) if se_channels else None
        self.se_expand = Linear(se_channels, width, bias=True, rngs=rngs) if se_channels else None

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.expand is None else _in_parts(self.expand, x, normalise)
        y = _in_parts(self.depthwise, y, normalise)
        if self.se_reduce is not None and self.se_expand is not None:
            squeezed = ACTS[self.se_act](self.se_reduce(y.mean((1, 2), keepdims=True)))
            y = y * GATES[self.se_gate](self.se_expand(squeezed))
        y = _in_parts(self.project, y, normalise)
        return x + y if self.residual else y


class InvertedResidual(Bottleneck):
    """The block of MobileNetV2 and V3, MnasNet and EfficientNet."""

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
        se_act: str = "relu",
        se_gate: str = "hard_sigmoid",
        **common: Any,
    ) -> None:
        super().__init__(residual=residual, se_act=se_act, se_gate=se_gate)
        width = expanded_channels or in_channels
        self.expand = Convolution(in_channels, width, act=act, **common) if expanded_channels else None
        self.depthwise = Depthwise(width, kernel, stride, act=act, **common)
        self.add_gate(width, se_channels, common["rngs"])
        self.project = Convolution(width, out_channels, **common)


class MixConv(Bottleneck):
    """MixNet's block, arXiv 1907.09595: depthwise kernels of several sizes, grouped 1 x 1 convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel_sizes: tuple[int, ...] = (3,),
        stride: int = 1,
        act: str = "relu",
        expand_groups: int = 1,
        project_groups: int = 1,
        se_channels: int = 0,
        residual: bool = False,
        se_act: str = "relu",
        se_gate: str = "sigmoid",
        **common: Any,
    ) -> None:
        super().__init__(residual=residual, se_act=se_act, se_gate=se_gate)
        width = expanded_channels
        own = zip(_shares(width, len(kernel_sizes)), kernel_sizes, strict=True)
        self.expand = _grouped(in_channels, width, expand_groups, act=act, **common)
        self.depthwise = _one_or_list([Depthwise(part, size, stride, act=act, **common) for part, size in own])
        self.add_gate(width, se_channels, common["rngs"])
        self.project = _grouped(width, out_channels, project_groups, **common)


def _shares(channels: int, count: int) -> list[int]:
    """Return `channels` in `count` equal shares, the remainder in the first."""
    share = channels // count
    return [channels - share * (count - 1), *[share] * (count - 1)]


def _grouped(in_channels: int, out_channels: int, groups: int, **settings: Any) -> Any:
    """Return a 1 x 1 convolution in `groups` parts."""
    widths = zip(_shares(in_channels, groups), _shares(out_channels, groups), strict=True)
    return _one_or_list([Convolution(part, out, **settings) for part, out in widths])


def _one_or_list(layers: list[Any]) -> Any:
    return layers[0] if len(layers) == 1 else nnx.List(layers)


def _in_parts(layers: Any, x: Array, normalise: Normalise) -> Array:
    """Return what one layer gives, or several side by side, each from its share of the channels of `x`."""
    if isinstance(layers, Normed):
        return layers(x, normalise)
    starts = np.cumsum([layer.in_channels for layer in layers])[:-1].tolist()
    pieces = jnp.split(x, starts, axis=-1)
    return jnp.concatenate([layer(piece, normalise) for layer, piece in zip(layers, pieces, strict=True)], axis=-1)


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
