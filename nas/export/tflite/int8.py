"""A network as a full-integer TFLite graph: int8 input and output, weights per channel, batch 1, for the Edge TPU.

Scheme: Jacob et al., arXiv 1712.05877, section 2, with symmetric weights per channel as in
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec. Every operator is one of
edgetpu_ops.csv; hard-swish is x * (relu6(x + 3) * 1/6). A log-mel front end stays in float32, its input too: such a
file is for processors with floats.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.options import DEFAULT, FileOptions
from nas.export.tflite.graph import ANY_SIZE, AXES, INPUT, OPERATORS, TfliteGraph
from nas.export.tflite.range_observer import observed_ranges
from nas.nn.lowering import NORMALISED, has_front_end, lower
from nas.ops import Gate, Shape
from nas.ops.graph import Array, Axis, Side, Tensors, Value
from nas.quantisation.grid import HIGH, LOW, Range, grid_of, int_weights
from nas.quantisation.limits import usable_ranges
from nas.quantisation.program import CLIPPED_RANGE, LOGISTIC_RANGE, UNIT_RANGE, folded, program_of

PIXEL_RANGE: Range = (0.0, 255.0)
VERSIONS: Mapping[int, int] = {
    OPERATORS.CONV_2D: 3, OPERATORS.DEPTHWISE_CONV_2D: 3, OPERATORS.FULLY_CONNECTED: 4, OPERATORS.ADD: 2,
    OPERATORS.MUL: 2, OPERATORS.MEAN: 2, OPERATORS.PAD: 2, OPERATORS.LOGISTIC: 2, OPERATORS.CONCATENATION: 2,
    OPERATORS.SLICE: 2, OPERATORS.MAX_POOL_2D: 2,
}  # fmt: skip
# versions of operators with int8 tensors, tensorflow/lite/tools/versioning/op_version.cc; 1 for others


def calibrated_model(
    arch: ArchSpec, tensors: Tensors, batches: Iterable[NDArray[np.float32]], metadata: Mapping[str, str],
    options: FileOptions = DEFAULT,
) -> bytes:  # fmt: skip
    """Return the file of `arch` as `int8_model`, with the ranges of its tensors on `batches` of images [N, H, W, C]."""
    return int8_model(arch, tensors, observed_ranges(arch, tensors, batches), metadata, options)


def int8_model(
    arch: ArchSpec, tensors: Tensors, ranges: dict[str, Range], metadata: Mapping[str, str],
    options: FileOptions = DEFAULT,
) -> bytes:  # fmt: skip
    """Return the file of `arch`: images int8 [1, H, W, C] -> logits int8 [1, classes]; see `lowering.lower`.

    `ranges` holds the range of every tensor by name, as from `observed_ranges`; the network must pass
    `edgetpu.check_supported`.
    """
    graph = Int8Graph(arch, usable_ranges(program_of(arch), folded(arch, tensors), ranges))
    return graph.model(lower(arch, tensors, graph, options.uint8_input), metadata)


class Int8Graph(TfliteGraph):
    """The operators of a full-integer TFLite graph under construction: a `nas.ops.graph.Writer`."""

    batch = 1

    def __init__(self, arch: ArchSpec, ranges: dict[str, Range]) -> None:
        super().__init__(arch)
        self._ranges = ChainMap[str, Range]({}, ranges)
        self._scales: dict[str, tuple[float, int]] = {}  # scale and zero point by tensor
        self._views: dict[str, str] = {}  # view -> the tensor that it is a view of
        self._floats = False  # whether what is added now is a front end in float32

    def tensor(self, name: str, shape: Sequence[int], data: Array | None = None) -> str:
        """Add a tensor: a constant as it is, anything else int8 with the scale of its range."""
        fixed = [self.batch if size == ANY_SIZE else size for size in shape]
        super().tensor(name, fixed, data)
        if data is None and not self._floats:
            self._quantise(name, *_scale(*self._ranges[name]))
        return name

    def _quantise(self, name: str, scales: Any, zero: int, axis: int = 0, kind: int = schema.TensorType.INT8) -> None:
        """Set type, scale (or one per index of `axis`) and zero point of a tensor that was added."""
        tensor, numbers = self._tensors[self._index[name]], schema.QuantizationParametersT()
        numbers.scale = np.atleast_1d(np.asarray(scales, np.float32))
        numbers.zeroPoint = np.full(len(numbers.scale), zero, np.int64)
        numbers.quantizedDimension = axis
        tensor.type, tensor.quantization = kind, numbers
        if np.ndim(scales) == 0:
            self._scales[name] = float(scales), zero

    def _copy_range(self, name: str, like: str) -> str:
        """Give the tensor `name`, before it is added, the range of the tensor `like`; return the name."""
        if self._floats and like not in self._ranges:
            return name
        self._ranges[name] = self._ranges[like]
        return name

    def weight(self, name: str, x: str, numbers: tuple[Array, Array], *, axis: int | None) -> list[str]:
        """Add the weight, int8 with a scale per index of `axis`, and the bias, int32, as constants; return their names.

        Without `axis` the weight has one scale: the compiler does not know fully connected layers with one per channel.
        """
        if self._floats:
            return super().weight(name, x, numbers, axis=axis)
        weight, bias = numbers
        ints = int_weights(weight, bias, self._scales[x][0], per_channel=axis is not None, axis=axis or 0)
        names = [f"{name}.weight", f"{name}.bias"]
        super().tensor(names[0], weight.shape, ints.weight.astype(np.int8))
        self._quantise(names[0], ints.weight_scale, 0, axis or 0)
        super().tensor(names[1], bias.shape, ints.bias.astype(np.int32))
        self._quantise(names[1], ints.scale, 0, kind=schema.TensorType.INT32)
        return names

    def number(self, name: str, value: float) -> str:
        """Add a constant of one number, exactly: `HIGH` steps."""
        super().tensor(name, [1], np.array([HIGH], np.int8))
        self._quantise(name, value / HIGH, 0)
        return name

    def _padded(self, name: str, x: Value, zeros: Sequence[tuple[int, int]]) -> Value:
        """Add zeros before and after the rows and the columns; the range stays."""
        self._copy_range(name, x.name)
        return super()._padded(name, x, zeros)

    def _reshape(self, name: str, x: str, sizes: Sequence[int]) -> str:
        """Add a view with `sizes` behind the batch; the range stays."""
        self._copy_range(name, x)
        self._views[name] = x
        return super()._reshape(name, x, sizes)

    def input(self, shape: Shape) -> Value:
        """Add the input of the network, float32 in front of a front end."""
        self._floats = has_front_end(self._arch)
        found = super().input(shape)
        self._floats = False
        return found

    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds in float32, and int8 numbers of the range of its result."""
        self._floats = True
        made = make(x)
        self._floats = False
        self._copy_range(name, made.name)
        return made._replace(
            name=self.node(OPERATORS.QUANTIZE, name, [made.name], made.shape, schema.QuantizeOptionsT())
        )

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum over windows; the range stays."""
        self._copy_range(name, x.name)
        return super().max_pool(name, x, window, stride=stride)

    def _with_edges(self, name: str, x: Value, axis: Side, around: tuple[int, int]) -> Value:
        """Add the map with copies of its edges; the range stays."""
        self._copy_range(f"{name}.padded", x.name)
        return super()._with_edges(name, x, axis, around)

    def hard_swish(self, name: str, x: Value) -> Value:
        """Add x * hard_sigmoid(x)."""
        return self.multiply(name, x, self.gate(f"{name}.gate", x, "hard_sigmoid"))

    def gate(self, name: str, x: Value, gate: Gate) -> Value:
        """Add a gate's function; the hard sigmoid is relu6(x + 3) / 6."""
        self._ranges[name] = LOGISTIC_RANGE
        if gate == "sigmoid":
            return super().gate(name, x, gate)
        self._ranges[f"{name}.clipped"], self._ranges[name] = CLIPPED_RANGE, UNIT_RANGE
        return super().gate(name, x, gate)

    def pixels(self, shape: Shape) -> Value:
        """Add an input of uint8 images, and the same steps as int8 numbers: 128 less."""
        super().tensor(INPUT, (self.batch, *shape))
        self._quantise(INPUT, 1.0, 0, kind=schema.TensorType.UINT8)
        name = f"{INPUT}.int8"
        self._ranges[name], self._ranges[NORMALISED] = PIXEL_RANGE, self._ranges[INPUT]
        return Value(self.node(OPERATORS.QUANTIZE, name, [INPUT], shape, schema.QuantizeOptionsT()), shape)

    def affine(self, name: str, x: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel as a 1 x 1 depthwise convolution: it rounds once."""
        return self.depthwise(name, x, factor[None, None], bias, stride=1, act="none")

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation; all parts, and what they are views of, get the range of the result."""
        for part in parts:
            tensor: str | None = part.name
            while tensor is not None:
                self._quantise(self._copy_range(tensor, name), *_scale(*self._ranges[name]))
                tensor = self._views.get(tensor)
        return super().concat(name, parts, axis)

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a slice for each share of the channels or of a side."""
        if self._floats:
            return super().split(name, x, widths, axis)
        found, start = [], 0
        for i, width in enumerate(widths):
            shape = x.shape._replace(**{axis: width})
            part = self._copy_range(f"{name}.{i}", x.name)
            corner = [0, 0, 0, 0]
            corner[AXES[axis]] = start
            begin = self.constant(f"{part}.begin", np.array(corner))
            size = self.constant(f"{part}.size", np.array([self.batch, *shape]))
            self.node(OPERATORS.SLICE, part, [x.name, begin, size], shape, schema.SliceOptionsT())
            found.append(Value(part, shape))
            start += width
        return found

    def code(self, kind: int) -> Any:
        """Return the entry of an operator code, with the version that has int8."""
        entry = super().code(kind)
        entry.version = VERSIONS.get(kind, 1)
        return entry


def _scale(low: float, high: float) -> tuple[float, int]:
    """Return the scale and the zero point of int8 numbers that span the range."""
    grid = grid_of(float(low), float(high))
    return float(grid.scale), int(grid.zero)


def operators(model: bytes) -> list[str]:
    """Return the names of the operators of a file in their order, as in the schema."""
    names = {value: name for name, value in vars(OPERATORS).items() if isinstance(value, int)}
    content = schema.ModelT.InitFromPackedBuf(model)
    codes = [names[code.builtinCode] for code in content.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in content.subgraphs[0].operators]


def operators_behind_floats(model: bytes) -> tuple[int, list[str]]:
    """Return how many operators of a file are the front end in float32, and the names of those behind it."""
    names = operators(model)
    count = names.index("QUANTIZE") if "LOG" in names else 0
    return count, names[count:]


def int8_logits_of(model: bytes, images: Array) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C], each alone; uint8 as they are."""
    network = Interpreter(model_content=model, num_threads=1)
    network.allocate_tensors()
    (inputs,), (outputs,) = network.get_input_details(), network.get_output_details()
    found = []
    as_they_are = images.dtype == np.uint8 or inputs["dtype"] == np.float32
    for image in images if as_they_are else quantised(images, *inputs["quantization"]):
        network.set_tensor(inputs["index"], image[None])
        network.invoke()
        found.append(network.get_tensor(outputs["index"])[0])
    scale, zero = outputs["quantization"]
    return ((np.array(found, np.float32) - zero) * scale).astype(np.float32)


def quantised(numbers: Array, scale: float, zero: int) -> Array:
    """Return float numbers as int8 numbers of this scale and zero point."""
    return np.clip(np.rint(numbers / scale) + zero, LOW, HIGH).astype(np.int8)
