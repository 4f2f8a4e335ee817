"""Basic operators that ops are written with in graphs of any format: `Writer` adds them, `Lowering` their weights.

Normalisation and layer scale are folded into the convolution in front of them, as every runtime would do. A new format
is one `Writer`; a new op says in its `emit` which of the layers of `Lowering` it consists of. Imports numpy only.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.ops.excitation import Excited
from nas.ops.fields import EVONORMS, Act, Gate
from nas.ops.kernels import Shape, split_channels
from nas.ops.layers import evonorm_groups

Array = NDArray[Any]
Tensors = Callable[[str, tuple[int, ...]], Array]  # (name as in nas.nn.network, shape) -> float32


class Value(NamedTuple):
    """A tensor in the graph: its name, and its shape without the batch."""

    name: str
    shape: Shape


Side = Literal["height", "width"]
Padding = Literal["symmetric", "same"]
Strides = int | tuple[int, int]  # of both sides, or of height and width
Axis = Literal["height", "width", "channels"]


class EvoNormNumbers(NamedTuple):
    """The tensors [channels] of an EvoNorm: v, gamma and beta; of B0 the stored variance, of S0 how many groups."""

    v: Array
    scale: Array
    bias: Array
    eps: float
    var: Array | None = None
    groups: int = 0


class Writer(Protocol):
    """Adds nodes to a graph: each method adds the node `name` and returns its output; weights as in nas.nn.layers."""

    def input(self, shape: Shape) -> Value: ...
    def pixels(self, shape: Shape) -> Value:
        """Add an input of uint8 images [N, H, W, C], and return it as numbers from 0 to 255 in the writer's layout."""

    def conv(
        self, name: str, x: Value, weight: Array, bias: Array | None, *, stride: Strides, act: Act,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a dense convolution, weight [kh, kw, in, out], bias [out], with its activation.

        `padding` is that of the network where it is None.
        """

    def depthwise(self, name: str, x: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution, weight [kh, kw, C], bias [C], with its activation."""

    def frames(self, name: str, x: Value, weight: Array, *, hop: int) -> Value:
        """Add the products of frames of a waveform T x 1 x 1, one every `hop` samples, and a weight [window, out].

        A convolution over time without padding, of whole frames alone: frames x 1 x out.
        """

    def powers(self, name: str, x: Value, window: Array, *, hop: int, fft_size: int, bins: range) -> Value:
        """Add the squared magnitudes of the real FFT of frames of a waveform T x 1 x 1: frames x 1 x bins.

        Frames are as in `frames`, each times `window` and filled up with zeros to `fft_size`, a power of two; of the
        bins those of `bins` are kept.
        """

    def log(self, name: str, x: Value) -> Value: ...
    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds behind the input `x`, in floats also where the graph is one of whole numbers."""

    def channels_to_width(self, name: str, x: Value) -> Value:
        """Add a view of a map one wide, H x 1 x C, as H x C x 1."""

    def positions_to_channels(self, name: str, x: Value) -> Value:
        """Add a view of a map H x W x C as 1 x 1 x HWC, the channels of one position beside each other."""

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum of each channel over windows, padded as the network is with what is no maximum."""

    def softmax_over_height(self, name: str, x: Value) -> Value:
        """Add exp(x) over its sum over the height."""

    def channel_products(self, name: str, x: Value) -> Value:
        """Add the products of all pairs of channels, summed over the positions: 1 x 1 x CC, the Gram matrix by rows."""

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
    def multiply(self, name: str, x: Value, gate: Value, act: Act = "none") -> Value:
        """Add the product of a map and a gate, whose height or width or both may be 1, with its activation."""

    def mean(self, name: str, x: Value, axis: Side) -> Value:
        """Add the mean over one side of the map, which becomes 1."""

    def turn(self, name: str, x: Value) -> Value:
        """Add a view of a map one of whose sides is 1, with height and width exchanged."""

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a split of the channels, or of a side, into shares."""

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value: ...
    def evonorm(self, name: str, x: Value, numbers: EvoNormNumbers) -> Value:
        """Add EvoNorm-B0 or S0 with stored statistics."""

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add softmax(query key^T) value, one key and one value head for all heads of the (scaled) query."""


class Lowering:
    """The layers that ops consist of, with their weights folded, for one network and one writer.

    `norm_eps` is that of the network's normalisations; `tensors` returns its weights by name and shape, which are
    folded in double precision or, not `in_double`, as they are: arrays of jax under a trace, say. Windows over
    sequences are k x 1.
    """

    def __init__(
        self, tensors: Tensors, writer: Writer, norm_eps: float, *, is_sequence: bool = False, in_double: bool = True
    ) -> None:
        self.writer, self.norm_eps, self.is_sequence, self._tensors = writer, norm_eps, is_sequence, tensors
        self._in_double = in_double

    def on(self, *, is_sequence: bool) -> "Lowering":
        """Return the same for a part of the network whose maps are sequences, or are none."""
        return Lowering(self._tensors, self.writer, self.norm_eps, is_sequence=is_sequence, in_double=self._in_double)

    def window(self, kernel_size: int) -> tuple[int, int]:
        """Return height and width of the window of a convolution."""
        return kernel_size, 1 if self.is_sequence else kernel_size

    def tensor(self, name: str, *shape: int) -> Array:
        """Return a weight or statistic of the network, for folding."""
        found = self._tensors(name, shape)
        return np.asarray(found, np.float64) if self._in_double else found

    def folded_norm(self, name: str, channels: int, *, layer_scale: bool = False) -> tuple[Array, Array]:
        """Return (factor, bias) [channels] of a normalisation with stored statistics, followed by a layer scale."""
        scale, bias, mean, var = (self.tensor(f"{name}.{key}", channels) for key in ("scale", "bias", "mean", "var"))
        factor = scale / (var + self.norm_eps) ** 0.5
        gamma = self.tensor(f"{name}.gamma", channels) if layer_scale else np.ones(channels)
        return factor * gamma, (bias - mean * factor) * gamma

    def convolution(
        self, x: Value, name: str, out: int, *, kernel_size: int = 1, stride: int = 1, act: Act = "none",
        layer_scale: bool = False, bias: bool = False,
    ) -> Value:  # fmt: skip
        """Add a dense k x k convolution, with `bias` one with a bias, its normalisation, activation and layer scale."""
        window = self.window(kernel_size)
        weight = self.tensor(f"{name}.weight", *(() if kernel_size == 1 else window), x.shape.channels, out)
        kernel = weight.reshape(*window, x.shape.channels, out)
        make = partial(self.writer.conv, name, x, stride=stride)
        return self._normed(make, name, kernel, act, layer_scale=layer_scale, bias=bias)

    def windowed(
        self, x: Value, name: str, out: int, *, window: tuple[int, int], stride: Strides, padding: Padding, act: Act
    ) -> Value:
        """Add a dense convolution with a window, strides and a padding of its own, its normalisation and activation."""
        kernel = self.tensor(f"{name}.weight", *window, x.shape.channels, out)
        return self._normed(partial(self.writer.conv, name, x, stride=stride, padding=padding), name, kernel, act)

    def _normed(
        self, make: Callable[..., Value], name: str, kernel: Array, act: Act, *, layer_scale: bool = False,
        bias: bool = False,
    ) -> Value:  # fmt: skip
        """Add the convolution that `make` makes of weight, bias and `act`, with its normalisation folded into them."""
        if act in EVONORMS:
            return self._evonorm(make(weight=kernel, bias=None, act="none"), name, act)
        out = kernel.shape[-1]
        factor, shift = self.folded_norm(name, out, layer_scale=layer_scale)
        if bias:
            shift = shift + factor * self.tensor(f"{name}.shift", out)
        return make(weight=kernel * factor, bias=shift, act=act)

    def depthwise(self, x: Value, name: str, kernel_size: int, stride: int, *, act: Act = "none") -> Value:
        """Add a depthwise convolution with its normalisation and activation."""
        channels = x.shape.channels
        weight = self.tensor(f"{name}.weight", *self.window(kernel_size), channels)
        if act in EVONORMS:
            plain = self.writer.depthwise(name, x, weight, np.zeros(channels), stride=stride, act="none")
            return self._evonorm(plain, name, act)
        factor, bias = self.folded_norm(name, channels)
        return self.writer.depthwise(name, x, weight * factor, bias, stride=stride, act=act)

    def _evonorm(self, x: Value, name: str, act: Act) -> Value:
        """Add the EvoNorm of the layer `name` on its linear output."""
        channels = x.shape.channels
        v, scale, bias = (self.tensor(f"{name}.{key}", channels) for key in ("v", "scale", "bias"))
        if act == "evonorm_b0":
            numbers = EvoNormNumbers(v, scale, bias, self.norm_eps, var=self.tensor(f"{name}.var", channels))
        else:
            numbers = EvoNormNumbers(v, scale, bias, self.norm_eps, groups=evonorm_groups(channels))
        return self.writer.evonorm(f"{name}.{act}", x, numbers)

    def linear(
        self, x: Value, name: str, out: int, *, bias: bool = False, layer_scale: bool = False, factor: float = 1.0,
        act: Act = "none",
    ) -> Value:  # fmt: skip
        """Add a 1x1 convolution without normalisation, its output multiplied by `factor`."""
        scale = self.tensor(f"{name}.gamma", out) if layer_scale else np.ones(out)
        weight = self.tensor(f"{name}.weight", x.shape.channels, out) * scale * factor
        shift = self.tensor(f"{name}.bias", out) * scale * factor if bias else None
        return self.writer.conv(name, x, weight[None, None], shift, stride=1, act=act)

    def grouped(self, x: Value, name: str, out: int, groups: int, act: Act = "none") -> Value:
        """Add a 1x1 convolution with its normalisation and activation, in `groups` groups of channels."""
        layers = [partial(self.convolution, out=width, act=act) for width in split_channels(out, groups)]
        return self.side_by_side(x, name, layers)

    def mixed_depthwise(self, x: Value, name: str, kernel_sizes: Sequence[int], stride: int, act: Act) -> Value:
        """Add a depthwise convolution whose channels are shared by several kernel sizes."""
        layers = [partial(self.depthwise, kernel_size=size, stride=stride, act=act) for size in kernel_sizes]
        return self.side_by_side(x, name, layers)

    def side_by_side(self, x: Value, name: str, layers: Sequence[Callable[..., Value]]) -> Value:
        """Add one layer, or several in parallel, each on its share of the channels, with their outputs concatenated."""
        if len(layers) == 1:
            return layers[0](x=x, name=name)
        parts = self.writer.split(f"{name}.split", x, split_channels(x.shape.channels, len(layers)))
        outputs = [layer(x=part, name=f"{name}.{i}") for i, (layer, part) in enumerate(zip(layers, parts, strict=True))]
        return self.writer.concat(f"{name}.concat", outputs)

    def excitation(self, x: Value, name: str, op: Excited) -> Value:
        """Add the excitation of the op `name`: squeeze-excite, coordinate attention, or none."""
        if op.ca_channels:
            return self.coordinate_attention(x, f"{name}.ca", op.ca_channels)
        return self.squeeze_excite(x, f"{name}.se", op.se_channels, op.se_act, op.se_gate)

    def squeeze_excite(
        self, x: Value, name: str, squeezed: int, act: Act = "relu", gate: Gate = "sigmoid", *, later: Act = "none"
    ) -> Value:
        """Add squeeze-excite, the product of the map and its gate, and the activation `later`; 0 adds nothing."""
        if not squeezed:
            return x
        pooled = self.writer.pool(f"{name}_pool", x)
        small = self.linear(pooled, f"{name}_reduce", squeezed, bias=True, act=act)
        wide = self.linear(small, f"{name}_expand", x.shape.channels, bias=True)
        gated = self.writer.gate(f"{name}_expand.{gate}", wide, gate)
        return self.writer.multiply(f"{name}_scale", x, gated, later)

    def coordinate_attention(self, x: Value, name: str, reduced: int) -> Value:
        """Add coordinate attention: the map times a gate per row and a gate per column (arXiv 2103.02907, Eq. 4-10)."""
        height, width, channels = x.shape
        rows = self.writer.mean(f"{name}_pool_h", x, "width")
        columns = self.writer.turn(f"{name}_pool_w.turned", self.writer.mean(f"{name}_pool_w", x, "height"))
        both = self.writer.concat(f"{name}_pooled", [rows, columns], "height")
        both = self.convolution(both, f"{name}_reduce", reduced, act="hswish", bias=True)
        rows, columns = self.writer.split(f"{name}_split", both, [height, width], "height")
        columns = self.writer.turn(f"{name}_split.turned", columns)
        for key, axis, part in (("height", "h", rows), ("width", "w", columns)):
            wide = self.linear(part, f"{name}_{key}", channels, bias=True)
            x = self.writer.multiply(f"{name}_scale_{axis}", x, self.writer.gate(f"{name}_{key}.gate", wide, "sigmoid"))
        return x


def both(stride: Strides) -> tuple[int, int]:
    """Return the strides of height and width."""
    return (stride, stride) if isinstance(stride, int) else stride


def padding_of(shape: Shape, window: Sequence[int], stride: Strides, padding: str) -> list[tuple[int, int]]:
    """Return the zeros before and after height and width; see `pads`."""
    each = zip(shape.size, window, both(stride), strict=True)
    return [pads(size, kernel_size, step, padding) for size, kernel_size, step in each]


def pads(size: int, kernel_size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros before and after one axis of `size` elements; see `ArchSpec.padding`."""
    if padding == "symmetric":
        return (kernel_size - 1) // 2, (kernel_size - 1) // 2
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
