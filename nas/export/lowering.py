"""Every op as convolutions, additions and the like, for the writers of file formats; no jax, no network.

Normalisation and layer scale are folded into the convolution in front of them, as every runtime would do. A new op is
one function and one line here, whatever the number of formats; a new format is one `Writer`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nas import ops
from nas.arch import ArchSpec
from nas.ops import Act, Gate, Op, Shape
from nas.ops.kernels import shares

Array = NDArray[Any]
Tensors = Callable[[str, tuple[int, ...]], Array]  # name as in nas.nn.network, shape -> float32


class Value(NamedTuple):
    """The name of a tensor in the graph, and its shape without the batch."""

    name: str
    shape: Shape


class Writer(Protocol):
    """Adds nodes to a graph: each method names what it adds and returns its output. Weights are as in nas.nn.layers."""

    def input(self, shape: Shape) -> Value: ...
    def conv(self, name: str, at: Value, weight: Array, bias: Array | None, *, stride: int, act: Act) -> Value:
        """Add a dense convolution, weight [k, k, in, out], bias [out], with its activation."""

    def depthwise(self, name: str, at: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution, weight [k, k, C], bias [C], with its activation."""

    def affine(self, name: str, at: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel."""

    def pool(self, name: str, at: Value) -> Value:
        """Add the mean over all positions, a 1 x 1 map."""

    def flatten(self, name: str, at: Value) -> Value:
        """Add a view of a 1 x 1 map as the vector that `dense` takes."""

    def dense(self, name: str, at: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer, weight [in, out], with its activation."""

    def gate(self, name: str, at: Value, gate: Gate) -> Value: ...
    def add(self, name: str, left: Value, right: Value) -> Value: ...
    def multiply(self, name: str, at: Value, gate: Value) -> Value:
        """Add the product of a map and a 1 x 1 map."""

    def split(self, name: str, at: Value, widths: Sequence[int]) -> list[Value]:
        """Add a split of the channels into shares."""

    def concat(self, name: str, parts: Sequence[Value]) -> Value: ...
    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add softmax(query key^T) value, one key and one value head for all heads of the (scaled) query."""


class Lowering:
    """The tensors of one network, and the layers that both blocks and head are made of."""

    def __init__(self, arch: ArchSpec, tensors: Tensors, writer: Writer) -> None:
        self.arch, self.write, self._tensors = arch, writer, tensors

    def tensor(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return a weight or statistic of the network, in double precision for folding."""
        return np.asarray(self._tensors(name, shape), np.float64)

    def folded_norm(self, name: str, channels: int, *, layer_scale: bool = False) -> tuple[Array, Array]:
        """Return (factor, bias) [channels]: what a normalisation with stored statistics does, then a layer scale."""
        scale, bias, mean, var = (self.tensor(f"{name}.{key}", channels) for key in ("scale", "bias", "mean", "var"))
        factor = scale / np.sqrt(var + self.arch.norm_eps)
        gamma = self.tensor(f"{name}.gamma", channels) if layer_scale else np.ones(channels)
        return factor * gamma, (bias - mean * factor) * gamma

    def convolution(
        self, at: Value, name: str, out: int, *, kernel_size: int = 1, stride: int = 1, act: Act = "none",
        layer_scale: bool = False,
    ) -> Value:  # fmt: skip
        """Return a dense k x k convolution with its normalisation, activation and layer scale."""
        factor, bias = self.folded_norm(name, out, layer_scale=layer_scale)
        window = () if kernel_size == 1 else (kernel_size, kernel_size)
        weight = self.tensor(f"{name}.weight", *window, at.shape.channels, out) * factor
        square = weight.reshape(kernel_size, kernel_size, at.shape.channels, out)
        return self.write.conv(name, at, square, bias, stride=stride, act=act)

    def depthwise(self, at: Value, name: str, kernel_size: int, stride: int, *, act: Act = "none") -> Value:
        """Return a depthwise convolution with its normalisation and activation."""
        factor, bias = self.folded_norm(name, at.shape.channels)
        weight = self.tensor(f"{name}.weight", kernel_size, kernel_size, at.shape.channels) * factor
        return self.write.depthwise(name, at, weight, bias, stride=stride, act=act)

    def linear(
        self, at: Value, name: str, out: int, *, bias: bool = False, layer_scale: bool = False, times: float = 1.0,
        act: Act = "none",
    ) -> Value:  # fmt: skip
        """Return a 1x1 convolution without normalisation, multiplied by `times`."""
        factor = self.tensor(f"{name}.gamma", out) if layer_scale else np.ones(out)
        weight = self.tensor(f"{name}.weight", at.shape.channels, out) * factor * times
        shift = self.tensor(f"{name}.bias", out) * factor * times if bias else None
        return self.write.conv(name, at, weight[None, None], shift, stride=1, act=act)


def lower(arch: ArchSpec, tensors: Tensors, writer: Writer) -> Value:
    """Write the network and return its logits, a vector.

    `tensors` gives every weight and stored statistic by name and shape, in the layouts of nas.nn.layers.
    """
    lowering = Lowering(arch, tensors, writer)
    at = writer.input(arch.input_shape)
    for position, op, shape in arch.iter_ops():
        out = LOWERINGS[type(op)](lowering, op, at, position)
        assert (at.shape, out.shape) == (shape, op.out_shape(shape))
        at = writer.add(f"{position}.add", out, at) if getattr(op, "residual", False) else out
    return _head(lowering, arch.head, at)


def _conv(low: Lowering, op: ops.Conv, at: Value, name: str) -> Value:
    return low.convolution(
        at, f"{name}.conv", op.out_channels, kernel_size=op.kernel_size, stride=op.stride, act=op.act
    )


def _fused_ib(low: Lowering, op: ops.FusedIB, at: Value, name: str) -> Value:
    settings: dict[str, Any] = {"kernel_size": op.kernel_size, "stride": op.stride, "act": op.act}
    wide = low.convolution(at, f"{name}.expand", op.expanded_channels, **settings)
    return low.convolution(wide, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _uib(low: Lowering, op: ops.UIB, at: Value, name: str) -> Value:
    if op.start_dw:
        at = low.depthwise(at, f"{name}.start_dw", op.start_dw, op.start_stride)
    at = low.convolution(at, f"{name}.expand", op.expanded_channels, act=op.act)
    if op.middle_dw:
        at = low.depthwise(at, f"{name}.middle_dw", op.middle_dw, op.stride, act=op.act)
    return low.convolution(at, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _separable_conv(low: Lowering, op: ops.SeparableConv, at: Value, name: str) -> Value:
    at = low.depthwise(at, f"{name}.depthwise", op.kernel_size, op.stride, act=op.act)
    return low.convolution(at, f"{name}.pointwise", op.out_channels, act=op.act)


def _inverted_residual(low: Lowering, op: ops.InvertedResidual, at: Value, name: str) -> Value:
    if op.expanded_channels:
        at = low.convolution(at, f"{name}.expand", op.expanded_channels, act=op.act)
    at = low.depthwise(at, f"{name}.depthwise", op.kernel_size, op.stride, act=op.act)
    at = _squeeze_excite(low, op, at, name)
    return low.convolution(at, f"{name}.project", op.out_channels)


def _mixconv(low: Lowering, op: ops.MixConv, at: Value, name: str) -> Value:
    filters = [partial(low.depthwise, kernel_size=kernel, stride=op.stride, act=op.act) for kernel in op.kernel_sizes]
    at = _in_parts(low, at, f"{name}.expand", _grouped(low, op.expanded_channels, op.expand_groups, op.act))
    at = _in_parts(low, at, f"{name}.depthwise", filters)
    at = _squeeze_excite(low, op, at, name)
    return _in_parts(low, at, f"{name}.project", _grouped(low, op.out_channels, op.project_groups, "none"))


def _grouped(low: Lowering, out: int, groups: int, act: Act) -> list[Callable[..., Value]]:
    """Return the parts of a 1x1 convolution."""
    return [partial(low.convolution, out=width, act=act) for width in shares(out, groups)]


def _in_parts(low: Lowering, at: Value, name: str, layers: Sequence[Callable[..., Value]]) -> Value:
    """Return what one layer gives, or several side by side, each from its share of the channels."""
    if len(layers) == 1:
        return layers[0](at=at, name=name)
    pieces = low.write.split(f"{name}.split", at, shares(at.shape.channels, len(layers)))
    done = [layer(at=piece, name=f"{name}.{i}") for i, (layer, piece) in enumerate(zip(layers, pieces, strict=True))]
    return low.write.concat(f"{name}.concat", done)


def _squeeze_excite(low: Lowering, op: ops.InvertedResidual | ops.MixConv, at: Value, name: str) -> Value:
    """Return the map times its gate, or as it is where the op has none."""
    if not op.se_channels:
        return at
    pooled = low.write.pool(f"{name}.se_pool", at)
    small = low.linear(pooled, f"{name}.se_reduce", op.se_channels, bias=True, act=op.se_act)
    wide = low.linear(small, f"{name}.se_expand", at.shape.channels, bias=True)
    gate = low.write.gate(f"{name}.se_expand.{op.se_gate}", wide, op.se_gate)
    return low.write.multiply(f"{name}.se_scale", at, gate)


def _mobile_mqa(low: Lowering, op: ops.MobileMQA, at: Value, name: str) -> Value:
    channels = at.shape.channels
    normed = low.write.affine(f"{name}.norm", at, *low.folded_norm(f"{name}.norm", channels))
    query = low.linear(normed, f"{name}.query", op.heads * op.key_dim, times=op.key_dim**-0.5)
    key = low.linear(_reduced(low, op, normed, f"{name}.key_dw"), f"{name}.key", op.key_dim)
    value = low.linear(_reduced(low, op, normed, f"{name}.value_dw"), f"{name}.value", op.value_dim)
    mixed = low.write.attention(name, query, key, value)
    return low.linear(mixed, f"{name}.output", channels, layer_scale=op.layer_scale)


def _reduced(low: Lowering, op: ops.MobileMQA, at: Value, name: str) -> Value:
    return low.depthwise(at, name, 3, op.kv_stride) if op.kv_stride > 1 else at


def _head(low: Lowering, head: ops.Head, at: Value) -> Value:
    at = low.write.flatten("head.flat", low.write.pool("head.pool", at))
    if head.hidden:
        weight = low.tensor("head.hidden.weight", at.shape.channels, head.hidden)
        if head.hidden_norm:
            factor, bias = low.folded_norm("head.hidden", head.hidden)
            weight = weight * factor
        else:
            bias = low.tensor("head.hidden.bias", head.hidden)
        at = low.write.dense("head.hidden", at, weight, bias, act=head.act)
    classes = low.arch.num_classes
    weight = low.tensor("head.classifier.weight", at.shape.channels, classes)
    return low.write.dense("head.classifier", at, weight, low.tensor("head.classifier.bias", classes), act="none")


LOWERINGS: dict[type[Op], Callable[[Lowering, Any, Value, str], Value]] = {
    ops.Conv: _conv,
    ops.FusedIB: _fused_ib,
    ops.UIB: _uib,
    ops.SeparableConv: _separable_conv,
    ops.InvertedResidual: _inverted_residual,
    ops.MixConv: _mixconv,
    ops.MobileMQA: _mobile_mqa,
}  # lowering, op, input, name of the op -> output; a residual is added behind it


def pads(size: int, kernel_size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros before and after one axis of `size` elements; see `ArchSpec.padding`."""
    if padding == "symmetric":
        return (kernel_size - 1) // 2, (kernel_size - 1) // 2
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
