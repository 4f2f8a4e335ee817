"""Basic operators that ops are written with in graphs of any format: `Writer` adds them, `Lowering` their weights.

Normalisation and layer scale are folded into the convolution in front of them, as every runtime would do. A new format
is one `Writer`; a new op says in its `emit` which of the layers of `Lowering` it consists of. Imports numpy only.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.ops.fields import Act, Gate
from nas.ops.kernels import Shape, split_channels

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
    """The layers that ops consist of, with their weights folded, for one network and one writer.

    `norm_eps` is that of the network's normalisations; `tensors` returns its weights by name and shape.
    """

    def __init__(self, tensors: Tensors, writer: Writer, norm_eps: float) -> None:
        self.writer, self.norm_eps, self._tensors = writer, norm_eps, tensors

    def tensor(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return a weight or statistic of the network in double precision, for folding."""
        return np.asarray(self._tensors(name, shape), np.float64)

    def folded_norm(self, name: str, channels: int, *, layer_scale: bool = False) -> tuple[Array, Array]:
        """Return (factor, bias) [channels] of a normalisation with stored statistics, followed by a layer scale."""
        scale, bias, mean, var = (self.tensor(f"{name}.{key}", channels) for key in ("scale", "bias", "mean", "var"))
        factor = scale / np.sqrt(var + self.norm_eps)
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

    def squeeze_excite(self, x: Value, name: str, squeezed: int, act: Act, gate: Gate) -> Value:
        """Add squeeze-excite, the product of the map and its gate; `squeezed` 0 adds nothing."""
        if not squeezed:
            return x
        pooled = self.writer.pool(f"{name}.se_pool", x)
        small = self.linear(pooled, f"{name}.se_reduce", squeezed, bias=True, act=act)
        wide = self.linear(small, f"{name}.se_expand", x.shape.channels, bias=True)
        return self.writer.multiply(f"{name}.se_scale", x, self.writer.gate(f"{name}.se_expand.{gate}", wide, gate))


def pads(size: int, kernel_size: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros before and after one axis of `size` elements; see `ArchSpec.padding`."""
    if padding == "symmetric":
        return (kernel_size - 1) // 2, (kernel_size - 1) // 2
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2
