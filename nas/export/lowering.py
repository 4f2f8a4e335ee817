"""Lower a network to convolutions, additions and other basic operators, which a `Writer` adds to a graph of its format.

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
from nas.data.input_spec import InputSpec
from nas.ops import Act, Gate, Op, Shape
from nas.ops.kernels import split_channels

Array = NDArray[Any]
Tensors = Callable[[str, tuple[int, ...]], Array]  # (name as in nas.nn.network, shape) -> float32


class Value(NamedTuple):
    """A tensor in the graph: its name, and its shape without the batch."""

    name: str
    shape: Shape


class Writer(Protocol):
    """Adds nodes to a graph: each method adds the node `name` and returns its output; weights as in nas.nn.layers."""

    def input(self, shape: Shape) -> Value: ...
    def pixels(self, shape: Shape) -> Value:
        """Add an input of uint8 images [N, H, W, C], and return it as numbers from 0 to 255 in the writer's layout."""

    def conv(self, name: str, x: Value, weight: Array, bias: Array | None, *, stride: int, act: Act) -> Value:
        """Add a dense convolution, weight [k, k, in, out], bias [out], with its activation."""

    def depthwise(self, name: str, x: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution, weight [k, k, C], bias [C], with its activation."""

    def affine(self, name: str, x: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel."""

    def pool(self, name: str, x: Value) -> Value:
        """Add the mean over all positions, a 1 x 1 map."""

    def flatten(self, name: str, x: Value) -> Value:
        """Add a view of a 1 x 1 map as a vector, the input of `dense`."""

    def dense(self, name: str, x: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer, weight [in, out], with its activation."""

    def gate(self, name: str, x: Value, gate: Gate) -> Value: ...
    def add(self, name: str, left: Value, right: Value) -> Value: ...
    def multiply(self, name: str, x: Value, gate: Value) -> Value:
        """Add the product of a map and a 1 x 1 map."""

    def split(self, name: str, x: Value, widths: Sequence[int]) -> list[Value]:
        """Add a split of the channels into shares."""

    def concat(self, name: str, parts: Sequence[Value]) -> Value: ...
    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add softmax(query key^T) value, one key and one value head for all heads of the (scaled) query."""


class Lowering:
    """The layers that blocks and head consist of, with their weights folded, for one network and one writer."""

    def __init__(self, arch: ArchSpec, tensors: Tensors, writer: Writer) -> None:
        self.arch, self.writer, self._tensors = arch, writer, tensors

    def tensor(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return a weight or statistic of the network in double precision, for folding."""
        return np.asarray(self._tensors(name, shape), np.float64)

    def folded_norm(self, name: str, channels: int, *, layer_scale: bool = False) -> tuple[Array, Array]:
        """Return (factor, bias) [channels] of a normalisation with stored statistics, followed by a layer scale."""
        scale, bias, mean, var = (self.tensor(f"{name}.{key}", channels) for key in ("scale", "bias", "mean", "var"))
        factor = scale / np.sqrt(var + self.arch.norm_eps)
        gamma = self.tensor(f"{name}.gamma", channels) if layer_scale else np.ones(channels)
        return factor * gamma, (bias - mean * factor) * gamma

    def convolution(
        self, x: Value, name: str, out: int, *, kernel_size: int = 1, stride: int = 1, act: Act = "none",
        layer_scale: bool = False,
    ) -> Value:  # fmt: skip
        """Add a dense k x k convolution with its normalisation, activation and layer scale."""
        factor, bias = self.folded_norm(name, out, layer_scale=layer_scale)
        window = () if kernel_size == 1 else (kernel_size, kernel_size)
        weight = self.tensor(f"{name}.weight", *window, x.shape.channels, out) * factor
        kernel = weight.reshape(kernel_size, kernel_size, x.shape.channels, out)
        return self.writer.conv(name, x, kernel, bias, stride=stride, act=act)

    def depthwise(self, x: Value, name: str, kernel_size: int, stride: int, *, act: Act = "none") -> Value:
        """Add a depthwise convolution with its normalisation and activation."""
        factor, bias = self.folded_norm(name, x.shape.channels)
        weight = self.tensor(f"{name}.weight", kernel_size, kernel_size, x.shape.channels) * factor
        return self.writer.depthwise(name, x, weight, bias, stride=stride, act=act)

    def linear(
        self, x: Value, name: str, out: int, *, bias: bool = False, layer_scale: bool = False, factor: float = 1.0,
        act: Act = "none",
    ) -> Value:  # fmt: skip
        """Add a 1x1 convolution without normalisation, its output multiplied by `factor`."""
        scale = self.tensor(f"{name}.gamma", out) if layer_scale else np.ones(out)
        weight = self.tensor(f"{name}.weight", x.shape.channels, out) * scale * factor
        shift = self.tensor(f"{name}.bias", out) * scale * factor if bias else None
        return self.writer.conv(name, x, weight[None, None], shift, stride=1, act=act)


NORMALISED = "normalised"  # the node of uint8 images after their normalisation


def lower(arch: ArchSpec, tensors: Tensors, writer: Writer, pixels: InputSpec | None = None) -> Value:
    """Add the network `arch` to the graph of `writer` and return its logits, a vector.

    With `pixels`, the input is uint8 images, which operators in front of the network normalise. Mean and std are not
    folded into the first convolution: the zeros of its padding are zeros of the normalised image.
    `tensors` returns every weight and stored statistic by name and shape, in the layouts of nas.nn.layers.
    """
    lowering = Lowering(arch, tensors, writer)
    x = writer.input(arch.input_shape) if pixels is None else _normalised(writer, arch.input_shape, pixels)
    for position, op, shape in arch.iter_ops():
        out = LOWERINGS[type(op)](lowering, op, x, position)
        assert (x.shape, out.shape) == (shape, op.out_shape(shape))
        x = writer.add(f"{position}.add", out, x) if getattr(op, "residual", False) else out
    return _head(lowering, arch.head, x)


def _normalised(writer: Writer, shape: Shape, spec: InputSpec) -> Value:
    """Add an input of uint8 images x and (x / 255 - mean) / std of it."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    return writer.affine(NORMALISED, writer.pixels(shape), 1 / (255 * std), -mean / std)


def _conv(low: Lowering, op: ops.Conv, x: Value, name: str) -> Value:
    return low.convolution(x, f"{name}.conv", op.out_channels, kernel_size=op.kernel_size, stride=op.stride, act=op.act)


def _fused_ib(low: Lowering, op: ops.FusedIB, x: Value, name: str) -> Value:
    settings: dict[str, Any] = {"kernel_size": op.kernel_size, "stride": op.stride, "act": op.act}
    wide = low.convolution(x, f"{name}.expand", op.expanded_channels, **settings)
    return low.convolution(wide, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _uib(low: Lowering, op: ops.UIB, x: Value, name: str) -> Value:
    if op.start_dw:
        x = low.depthwise(x, f"{name}.start_dw", op.start_dw, op.start_stride)
    x = low.convolution(x, f"{name}.expand", op.expanded_channels, act=op.act)
    if op.middle_dw:
        x = low.depthwise(x, f"{name}.middle_dw", op.middle_dw, op.stride, act=op.act)
    return low.convolution(x, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _separable_conv(low: Lowering, op: ops.SeparableConv, x: Value, name: str) -> Value:
    x = low.depthwise(x, f"{name}.depthwise", op.kernel_size, op.stride, act=op.act)
    return low.convolution(x, f"{name}.pointwise", op.out_channels, act=op.act)


def _inverted_residual(low: Lowering, op: ops.InvertedResidual, x: Value, name: str) -> Value:
    if op.expanded_channels:
        x = low.convolution(x, f"{name}.expand", op.expanded_channels, act=op.act)
    x = low.depthwise(x, f"{name}.depthwise", op.kernel_size, op.stride, act=op.act)
    x = _squeeze_excite(low, op, x, name)
    return low.convolution(x, f"{name}.project", op.out_channels)


def _mixconv(low: Lowering, op: ops.MixConv, x: Value, name: str) -> Value:
    filters = [partial(low.depthwise, kernel_size=kernel, stride=op.stride, act=op.act) for kernel in op.kernel_sizes]
    x = _side_by_side(low, x, f"{name}.expand", _grouped(low, op.expanded_channels, op.expand_groups, op.act))
    x = _side_by_side(low, x, f"{name}.depthwise", filters)
    x = _squeeze_excite(low, op, x, name)
    return _side_by_side(low, x, f"{name}.project", _grouped(low, op.out_channels, op.project_groups, "none"))


def _grouped(low: Lowering, out: int, groups: int, act: Act) -> list[Callable[..., Value]]:
    """Return the layers of a 1x1 convolution in groups, one per group."""
    return [partial(low.convolution, out=width, act=act) for width in split_channels(out, groups)]


def _side_by_side(low: Lowering, x: Value, name: str, layers: Sequence[Callable[..., Value]]) -> Value:
    """Add one layer, or several in parallel, each on its share of the channels, with their outputs concatenated."""
    if len(layers) == 1:
        return layers[0](x=x, name=name)
    parts = low.writer.split(f"{name}.split", x, split_channels(x.shape.channels, len(layers)))
    outputs = [layer(x=part, name=f"{name}.{i}") for i, (layer, part) in enumerate(zip(layers, parts, strict=True))]
    return low.writer.concat(f"{name}.concat", outputs)


def _squeeze_excite(low: Lowering, op: ops.InvertedResidual | ops.MixConv, x: Value, name: str) -> Value:
    """Add squeeze-excite, the product of the map and its gate, where the op has it."""
    if not op.se_channels:
        return x
    pooled = low.writer.pool(f"{name}.se_pool", x)
    small = low.linear(pooled, f"{name}.se_reduce", op.se_channels, bias=True, act=op.se_act)
    wide = low.linear(small, f"{name}.se_expand", x.shape.channels, bias=True)
    gate = low.writer.gate(f"{name}.se_expand.{op.se_gate}", wide, op.se_gate)
    return low.writer.multiply(f"{name}.se_scale", x, gate)


def _mobile_mqa(low: Lowering, op: ops.MobileMQA, x: Value, name: str) -> Value:
    channels = x.shape.channels
    normed = low.writer.affine(f"{name}.norm", x, *low.folded_norm(f"{name}.norm", channels))
    query = low.linear(normed, f"{name}.query", op.heads * op.key_dim, factor=op.key_dim**-0.5)
    key = low.linear(_downsampled(low, op, normed, f"{name}.key_dw"), f"{name}.key", op.key_dim)
    value = low.linear(_downsampled(low, op, normed, f"{name}.value_dw"), f"{name}.value", op.value_dim)
    mixed = low.writer.attention(name, query, key, value)
    return low.linear(mixed, f"{name}.output", channels, layer_scale=op.layer_scale)


def _downsampled(low: Lowering, op: ops.MobileMQA, x: Value, name: str) -> Value:
    """Add the depthwise convolution in front of keys and values, where their stride is above 1."""
    return low.depthwise(x, name, 3, op.kv_stride) if op.kv_stride > 1 else x


def _head(low: Lowering, head: ops.Head, x: Value) -> Value:
    x = low.writer.flatten("head.flat", low.writer.pool("head.pool", x))
    if head.hidden:
        weight = low.tensor("head.hidden.weight", x.shape.channels, head.hidden)
        if head.hidden_norm:
            factor, bias = low.folded_norm("head.hidden", head.hidden)
            weight = weight * factor
        else:
            bias = low.tensor("head.hidden.bias", head.hidden)
        x = low.writer.dense("head.hidden", x, weight, bias, act=head.act)
    classes = low.arch.num_classes
    weight = low.tensor("head.classifier.weight", x.shape.channels, classes)
    return low.writer.dense("head.classifier", x, weight, low.tensor("head.classifier.bias", classes), act="none")


LOWERINGS: dict[type[Op], Callable[[Lowering, Any, Value, str], Value]] = {
    ops.Conv: _conv,
    ops.FusedIB: _fused_ib,
    ops.UIB: _uib,
    ops.SeparableConv: _separable_conv,
    ops.InvertedResidual: _inverted_residual,
    ops.MixConv: _mixconv,
    ops.MobileMQA: _mobile_mqa,
}  # (lowering, op, input, name of the op) -> output, without the residual, which `lower` adds


def pads(size: int, kernel_size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros before and after one axis of `size` elements; see `ArchSpec.padding`."""
    if padding == "symmetric":
        return (kernel_size - 1) // 2, (kernel_size - 1) // 2
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
