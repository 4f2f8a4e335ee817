"""A network as a full-integer TFLite graph: int8 in and out, per-channel weights, batch 1, for the Edge TPU compiler.

Scheme: Jacob et al., arXiv 1712.05877, section 2, with symmetric weights per channel as in
https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec. Every operator is one of
edgetpu_ops.csv; hard-swish is x * (relu6(x + 3) * 1/6).
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.lowering import Array, Tensors, Value, lower
from nas.export.tflite.graph import KINDS, OPEN, TfliteGraph
from nas.export.tflite.range_observer import Range
from nas.ops import Gate

LOW, HIGH = -128, 127
LARGEST_BIAS = 1 << 30  # steps; int32 holds twice as many
SMALLEST_SCALE = 1e-9  # of what is 0 on all calibration images
GATE: Range = (0.0, 255 / 256)  # of a logistic: LiteRT wants the scale 1/256
VERSIONS: Mapping[int, int] = {
    KINDS.CONV_2D: 3, KINDS.DEPTHWISE_CONV_2D: 3, KINDS.FULLY_CONNECTED: 4, KINDS.ADD: 2, KINDS.MUL: 2,
    KINDS.MEAN: 2, KINDS.PAD: 2, KINDS.LOGISTIC: 2, KINDS.CONCATENATION: 2, KINDS.SLICE: 2,
}  # fmt: skip
# of an operator with int8 tensors, tensorflow/lite/tools/versioning/op_version.cc; 1 for others


def int8_model(arch: ArchSpec, tensors: Tensors, ranges: dict[str, Range], metadata: Mapping[str, str]) -> bytes:
    """Return the file of `arch`: images int8 [1, H, W, C] -> logits int8 [1, classes]; see `lowering.lower`.

    `ranges` are those of `observing.ranges`; the network is one that passes `edgetpu.check_supported`.
    """
    graph = Int8Graph(arch, ranges)
    return graph.model(lower(arch, tensors, graph), metadata)


class Int8Graph(TfliteGraph):
    """The operators of one network in whole numbers while it is put together."""

    batch = 1

    def __init__(self, arch: ArchSpec, ranges: dict[str, Range]) -> None:
        super().__init__(arch)
        self._ranges = ChainMap[str, Range]({}, ranges)
        self._scales: dict[str, tuple[float, int]] = {}  # scale and zero point by tensor

    def tensor(self, name: str, shape: Sequence[int], data: Array | None = None) -> str:
        """Add a tensor: a constant as it is, anything else int8 with the scale of its range."""
        fixed = [self.batch if size == OPEN else size for size in shape]
        super().tensor(name, fixed, data)
        if data is None:
            self._quantised(name, *_scale(*self._ranges[name]))
        return name

    def _quantised(self, name: str, scales: Any, zero: int, axis: int = 0, kind: int = schema.TensorType.INT8) -> None:
        one, numbers = self._tensors[self._index[name]], schema.QuantizationParametersT()
        numbers.scale = np.atleast_1d(np.asarray(scales, np.float32))
        numbers.zeroPoint = np.full(len(numbers.scale), zero, np.int64)
        numbers.quantizedDimension = axis
        one.type, one.quantization = kind, numbers
        if np.ndim(scales) == 0:
            self._scales[name] = float(scales), zero

    def _as(self, name: str, like: str) -> str:
        """Give the tensor `name` the range of `like`, before it is added."""
        self._ranges[name] = self._ranges[like]
        return name

    def weight(self, name: str, at: str, numbers: tuple[Array, Array], *, axis: int | None) -> list[str]:
        """Put the weight, int8 with a scale per index of `axis`, and the bias, int32, into the file.

        Without `axis` the weight has one scale: per channel, a fully connected layer is newer than the compiler.
        """
        weight, bias = numbers
        others = tuple(i for i in range(weight.ndim) if i != axis)
        largest, offset = (np.abs(weight).max(None if axis is None else others), np.abs(bias))
        fitting = (offset if axis is not None else offset.max()) / (self._scales[at][0] * LARGEST_BIAS)
        scales = np.maximum(np.maximum(largest / HIGH, fitting), SMALLEST_SCALE).astype(np.float32).astype(np.float64)
        spread = scales if axis is None else np.expand_dims(scales, others)
        names = [f"{name}.weight", f"{name}.bias"]
        super().tensor(names[0], weight.shape, np.clip(np.rint(weight / spread), -HIGH, HIGH).astype(np.int8))
        self._quantised(names[0], scales, 0, axis or 0)
        steps = scales * self._scales[at][0]
        super().tensor(names[1], bias.shape, np.rint(bias / steps).astype(np.int32))
        self._quantised(names[1], steps, 0, kind=schema.TensorType.INT32)
        return names

    def number(self, name: str, value: float) -> str:
        """Put one number into the file, exactly: HIGH steps."""
        super().tensor(name, [1], np.array([HIGH], np.int8))
        self._quantised(name, value / HIGH, 0)
        return name

    def _padded(self, name: str, at: Value, zeros: Sequence[tuple[int, int]]) -> Value:
        self._as(name, at.name)
        return super()._padded(name, at, zeros)

    def _reshape(self, name: str, at: str, sizes: Sequence[int]) -> str:
        self._as(name, at)
        return super()._reshape(name, at, sizes)

    def hard_swish(self, name: str, at: Value) -> Value:
        """Add x * hard_sigmoid(x)."""
        return self.multiply(name, at, self.gate(f"{name}.gate", at, "hard_sigmoid"))

    def gate(self, name: str, at: Value, gate: Gate) -> Value:
        """Add a gate's function; the hard sigmoid is relu6(x + 3) / 6."""
        self._ranges[name] = GATE
        if gate == "sigmoid":
            return super().gate(name, at, gate)
        self._ranges[f"{name}.clipped"], self._ranges[name] = (0.0, 6.0), (0.0, 1.0)
        return super().gate(name, at, gate)

    def affine(self, name: str, at: Value, factor: Array, bias: Array) -> Value:
        """Refuse: only attention has a normalisation of its own."""
        raise InvalidInput(f"{name}: a normalisation without a convolution has no int8 form here")

    def concat(self, name: str, parts: Sequence[Value]) -> Value:
        """Add a concatenation of channels, whose parts all get the range of the whole."""
        for part in parts:
            self._quantised(self._as(part.name, name), *_scale(*self._ranges[name]))
        return super().concat(name, parts)

    def split(self, name: str, at: Value, widths: Sequence[int]) -> list[Value]:
        """Add a slice for each share of the channels."""
        found, start = [], 0
        for i, width in enumerate(widths):
            shape = at.shape._replace(channels=width)
            part = self._as(f"{name}.{i}", at.name)
            begin = self.constant(f"{part}.begin", np.array([0, 0, 0, start]))
            size = self.constant(f"{part}.size", np.array([self.batch, *shape]))
            self.node(KINDS.SLICE, part, [at.name, begin, size], shape, schema.SliceOptionsT())
            found.append(Value(part, shape))
            start += width
        return found

    def code(self, kind: int) -> Any:
        """Return the entry of an operator, with the version that has int8."""
        entry = super().code(kind)
        entry.version = VERSIONS.get(kind, 1)
        return entry


def _scale(low: float, high: float) -> tuple[float, int]:
    """Return the scale and the zero point of int8 numbers that span the range."""
    scale = max((high - low) / (HIGH - LOW), SMALLEST_SCALE)
    return scale, int(np.clip(round(LOW - low / scale), LOW, HIGH))


def operators(model: bytes) -> list[str]:
    """Return the operators of a file in their order, as the schema names them."""
    names = {value: name for name, value in vars(KINDS).items() if isinstance(value, int)}
    read = schema.ModelT.InitFromPackedBuf(model)
    return [names[read.operatorCodes[one.opcodeIndex].builtinCode] for one in read.subgraphs[0].operators]


def logits_of(model: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C], each alone."""
    one = Interpreter(model_content=model, num_threads=1)
    one.allocate_tensors()
    (inputs,), (outputs,) = one.get_input_details(), one.get_output_details()
    found = []
    for image in quantised(images, *inputs["quantization"]):
        one.set_tensor(inputs["index"], image[None])
        one.invoke()
        found.append(one.get_tensor(outputs["index"])[0])
    scale, zero = outputs["quantization"]
    return ((np.array(found, np.float32) - zero) * scale).astype(np.float32)


def quantised(numbers: Array, scale: float, zero: int) -> Array:
    """Return float numbers as int8."""
    return np.clip(np.rint(numbers / scale) + zero, LOW, HIGH).astype(np.int8)
