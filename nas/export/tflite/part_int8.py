"""A TFLite graph of integers in which some layers stay in float32, each between conversions of its inputs and outputs.

Images and logits are int8 as in a full-integer file. The Edge TPU compiler maps the operators in front of the first
float32 one; processors with floats run all of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from nas.arch import ArchSpec
from nas.export.options import DEFAULT, FileOptions
from nas.export.tflite.graph import OPERATORS
from nas.export.tflite.int8 import Int8Graph
from nas.nn.lowering import lower
from nas.ops.graph import Array, Axis, Tensors, Value
from nas.quantisation.grid import Range
from nas.quantisation.limits import usable_ranges
from nas.quantisation.program import folded, program_of


def part_int8_model(
    arch: ArchSpec, tensors: Tensors, ranges: dict[str, Range], floats: frozenset[str], metadata: Mapping[str, str],
    options: FileOptions = DEFAULT,
) -> bytes:  # fmt: skip
    """Return the file of `arch` as `int8.int8_model` does, with the layers `floats` in float32."""
    graph = PartGraph(arch, usable_ranges(program_of(arch), folded(arch, tensors), ranges), floats)
    return graph.model(lower(arch, tensors, graph, options.uint8_input), metadata)


# whose output is int8 where the input is
VIEWS = (OPERATORS.RESHAPE, OPERATORS.SLICE, OPERATORS.CONCATENATION, OPERATORS.MAX_POOL_2D)


class PartGraph(Int8Graph):
    """The operators of a graph of integers with some layers in float32: a `nas.ops.graph.Writer`."""

    def __init__(self, arch: ArchSpec, ranges: dict[str, Range], floats: frozenset[str]) -> None:
        super().__init__(arch, ranges)
        self._program = program_of(arch)
        self._kept, self._in_int8 = floats, self._program.in_int8(floats)
        self._float_names: dict[str, str] = {}  # int8 tensor -> the same in float32

    def _is_kept(self, name: str) -> bool:
        """Return whether the operator or constant `name` belongs to a layer in float32."""
        return any(name == layer or name.startswith(f"{layer}.") for layer in self._kept)

    def _has_grid(self, name: str) -> bool:
        """Return whether a tensor is int8; one that the steps of the network do not name is within a layer."""
        root = self._program.roots.get(name)
        return not self._is_kept(name) if root is None else root in self._in_int8

    def nodes(self, kind: int, inputs: Sequence[str], outputs: Mapping[str, Sequence[int]], options: Any) -> None:
        """Add an operator, of a layer in float32 with conversions of the int8 tensors that it reads and writes."""
        in_floats = inputs[0] not in self._scales if kind in VIEWS else any(map(self._is_kept, outputs))
        if self._floats or not in_floats:
            super().nodes(kind, inputs, outputs, options)
            return
        inputs = [self._dequantised(name) for name in inputs]
        has_grid = kind not in VIEWS and all(map(self._has_grid, outputs))
        made = {f"{name}.float" if has_grid else name: shape for name, shape in outputs.items()}
        self._floats = True
        super().nodes(kind, inputs, made, options)
        self._floats = False
        for (name, shape), real in zip(outputs.items(), made, strict=True):
            if name != real:
                self._float_names[name] = real
                super().nodes(OPERATORS.QUANTIZE, [real], {name: shape}, schema.QuantizeOptionsT())

    def _dequantised(self, name: str) -> str:
        """Return the float32 form of a tensor, converted where there is none yet; a constant as it is."""
        if name not in self._scales or self._tensors[self._index[name]].buffer:
            return name
        if name not in self._float_names:
            real = f"{name}.dequantised"
            shape = self._tensors[self._index[name]].shape[1:]
            self._floats = True
            super().nodes(OPERATORS.DEQUANTIZE, [name], {real: shape}, schema.DequantizeOptionsT())
            self._floats = False
            self._float_names[name] = real
        return self._float_names[name]

    def weight(self, name: str, x: str, numbers: tuple[Array, Array], *, axis: int | None) -> list[str]:
        """Add weight and bias, of a layer in float32 as they are."""
        return self._constants_of(name, lambda: super(PartGraph, self).weight(name, x, numbers, axis=axis))

    def number(self, name: str, value: float) -> str:
        """Add a constant of one number, of a layer in float32 as it is."""
        if self._is_kept(name):
            return self.constant(name, [value])
        return super().number(name, value)

    def _constants_of(self, name: str, add: Any) -> list[str]:
        before, self._floats = self._floats, self._floats or self._is_kept(name)
        found: list[str] = add()
        self._floats = before
        return found

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation of int8 parts in the range of the result, or of float32 parts."""
        if self._has_grid(name):
            return super().concat(name, parts, axis)
        return super(Int8Graph, self).concat(name, parts, axis)
