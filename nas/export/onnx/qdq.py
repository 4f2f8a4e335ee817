"""A network as an int8 ONNX graph with the ranges of its tensors given: QDQ, the scheme "functions" of its program.

A tensor in int8 is a QuantizeLinear and a DequantizeLinear, its numbers plus 128 as uint8 (why: nas.export.onnx.int8);
weights are int8 and biases int32 behind a DequantizeLinear,
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html; runtimes fuse them with the operator
between. Activations and gates compute in float32 between two int8 tensors. Around a layer in float32 there are none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from nas.arch import ArchSpec
from nas.export.onnx.graph import ACTS, INPUT, OnnxGraph
from nas.export.options import DEFAULT, FileOptions
from nas.nn.lowering import NORMALISED, lower
from nas.ops import Act, Gate, Shape
from nas.ops.graph import Array, Axis, Padding, Side, Strides, Tensors, Value
from nas.quantisation.forward import Ranges, numbers_of
from nas.quantisation.grid import LOW
from nas.quantisation.program import FUSED, folded, program_of


def qdq_model(
    arch: ArchSpec, tensors: Tensors, ranges: Ranges, floats: frozenset[str], metadata: Mapping[str, str],
    options: FileOptions = DEFAULT,
) -> onnx.ModelProto:  # fmt: skip
    """Return the model of `arch`: images [N, C, H, W] -> logits [N, classes]; the layers `floats` stay in float32."""
    graph = QdqGraph(arch, tensors, ranges, floats, options)
    return graph.model(lower(arch, tensors, graph, options.uint8_input), metadata)


class QdqGraph(OnnxGraph):
    """The nodes and constants of an int8 ONNX graph under construction: a `nas.ops.graph.Writer`."""

    def __init__(
        self, arch: ArchSpec, tensors: Tensors, ranges: Ranges, floats: frozenset[str], options: FileOptions = DEFAULT
    ) -> None:
        super().__init__(arch, options)
        self._program = program_of(arch, "functions")
        self._numbers = numbers_of(self._program, folded(arch, tensors), ranges, floats)
        self._in_front = False

    def _on_grid(self, name: str, made: Value) -> Value:
        """Return the tensor `name` of the steps, made as the value `made`, behind its rounding where it is int8."""
        grid, on = self._numbers.tensors[self._program.roots[name]]
        if not on or self._in_front:
            return made
        scale = self._exact(f"{name}.scale", np.float32(grid.scale))
        zero = self._exact(f"{name}.zero", np.uint8(grid.zero - LOW))  # uint8, as in int8.py
        steps = self.node("QuantizeLinear", f"{name}.int8", made.name, scale, zero)
        return made._replace(name=self.node("DequantizeLinear", f"{name}.rounded", steps, scale, zero))

    def _kept_in_floats(self, name: str, x: Value) -> Value:
        """Return a value behind a sum of one term, in front of or behind an operator that is to be in float32.

        ONNX Runtime takes an operator with a DequantizeLinear right in front and a QuantizeLinear right behind it for
        one in int8: a convolution whatever its weights are, and a softmax, which then has a coarse table.
        """
        return x._replace(name=self.node("Sum", f"{name}.float", x.name))

    def _exact(self, name: str, values: Any) -> str:
        """Add a constant of the type and shape that it has, and return its name."""
        array: Any = np.asarray(values)
        self._constants[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def input(self, shape: Shape) -> Value:
        """Return the input of the network on its grid."""
        return self._on_grid(INPUT, super().input(shape))

    def affine(self, name: str, x: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel as a 1 x 1 convolution, that of pixels in float32."""
        if name == NORMALISED:
            return self._on_grid(INPUT, super().affine(name, x, factor, bias))
        return self.depthwise(name, x, factor[None, None], bias, stride=1, act="none")

    def _conv(
        self, name: str, x: Value, weight: Array, bias: Array | None, *, act: Act, stride: Strides, groups: int,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a convolution with weight [out, in / groups, kh, kw], int8 unless its layer is in float32."""
        fused: Act = act if act in FUSED else "none"
        layer = self._numbers.steps.get(name)
        if layer is None or not layer.on:
            made = super()._conv(name, x, weight, bias, act=fused, stride=stride, groups=groups, padding=padding)
            rounded = self._numbers.tensors[self._program.roots[name]].on
            if rounded and not self._in_front and act in FUSED:
                made = self._kept_in_floats(name, made)
        else:
            names = self._int8_weights(name, groups)
            made = self._conv_node(
                name, x, names, weight.shape, act=fused, stride=stride, groups=groups, padding=padding
            )
        y = self._on_grid(name, made)
        if act in FUSED:
            return y
        return self._on_grid(f"{name}.{act}", y._replace(name=ACTS[act](self, y.name, f"{name}.{act}")))

    def _int8_weights(self, name: str, groups: int) -> list[str]:
        """Add weight and bias of a convolution as whole numbers behind a DequantizeLinear; return their names."""
        layer = self._numbers.steps[name]
        steps = layer.weight
        if steps.ndim == 2:
            steps = steps[None, None]  # of a dense layer
        steps = steps.transpose(2, 0, 1)[:, None] if groups > 1 or steps.ndim == 3 else steps.transpose(3, 2, 0, 1)
        of_weight = np.broadcast_to(np.asarray(layer.weight_scale), steps.shape[:1])
        names = []
        for key, values, kind, scales in (
            ("weight", steps, np.int8, of_weight), ("bias", layer.bias, np.int32, of_weight * layer.inputs[0]),
        ):  # fmt: skip
            whole = self._exact(f"{name}.{key}.int", values.astype(kind))
            zeros = self._exact(f"{name}.{key}.zero", np.zeros(len(scales), kind))
            of = self.constant(f"{name}.{key}.scale", scales)
            names.append(self.node("DequantizeLinear", f"{name}.{key}", whole, of, zeros, axis=0))
        return names

    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds in float32, and its result on a grid."""
        self._in_front = True
        made = make(x)
        self._in_front = False
        return self._on_grid(name, made)

    def positions_to_channels(self, name: str, x: Value) -> Value:
        """Add a view of H x W x C as 1 x 1 x HWC."""
        return self._on_grid(name, super().positions_to_channels(name, x))

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum over windows."""
        return self._on_grid(name, super().max_pool(name, x, window, stride=stride))

    def softmax_over_height(self, name: str, x: Value) -> Value:
        """Add a softmax over the height, in float32 between int8 tensors."""
        return self._on_grid(name, super().softmax_over_height(name, self._kept_in_floats(name, x)))

    def channel_products(self, name: str, x: Value) -> Value:
        """Add the products of a map with its transpose, in float32 between int8 tensors."""
        return self._on_grid(name, super().channel_products(name, x))

    def pool(self, name: str, x: Value) -> Value:
        """Add the mean over all positions."""
        return self._on_grid(name, super().pool(name, x))

    def gate(self, name: str, x: Value, gate: Gate) -> Value:
        """Add a gate's function."""
        return self._on_grid(name, super().gate(name, x, gate))

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        return self._on_grid(name, super().add(name, left, right))

    def multiply(self, name: str, x: Value, gate: Value, act: Act = "none") -> Value:
        """Add the product of a map and a gate, with its activation."""
        if self._in_front or act in FUSED:
            return self._on_grid(name, super().multiply(name, x, gate, act))
        y = self._on_grid(name, super().multiply(name, x, gate))
        return self._on_grid(f"{name}.{act}", y._replace(name=ACTS[act](self, y.name, f"{name}.{act}")))

    def mean(self, name: str, x: Value, axis: Side) -> Value:
        """Add the mean over one side."""
        return self._on_grid(name, super().mean(name, x, axis))

    def turn(self, name: str, x: Value) -> Value:
        """Add a view with height and width exchanged."""
        return self._on_grid(name, super().turn(name, x))

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a split of the channels or of a side."""
        parts = super().split(name, x, widths, axis)
        return [self._on_grid(part.name, part) for part in parts]

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation of channels or along a side."""
        return self._on_grid(name, super().concat(name, parts, axis))

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention, in float32 between int8 tensors."""
        return self._on_grid(f"{name}.mix", super().attention(name, query, key, value))
