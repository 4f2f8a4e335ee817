"""A network as a TFLite graph, NHWC, batch left open, written with the flatbuffer schema that ai-edge-litert carries.

Format: https://github.com/google-ai-edge/LiteRT, tflite/schema/schema.fbs. No TensorFlow.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.lowering import Array, Tensors, Value, lower, pads
from nas.ops import Act, Gate, Shape

VERSION, IDENTIFIER = 3, b"TFL3"
INPUT, OUTPUT = "pictures", "logits"
METADATA = "nas-engine"  # the name of the entry that holds our metadata as JSON
OPEN = -1  # the size of the batch
OLD_CODES = 127  # operators beyond have no place in the schema's first field for them
FUSED: dict[Act, int] = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}  # activations that are part of the operator in front of them
KINDS = schema.BuiltinOperator
TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
}  # of constants


def tflite_model(arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str]) -> bytes:
    """Return the file of `arch`: images [N, H, W, C] -> logits [N, classes], float32; see `lowering.lower`."""
    graph = TfliteGraph(arch)
    return graph.model(lower(arch, tensors, graph), metadata)


class TfliteGraph:
    """The operators, tensors and buffers of one network while it is put together: a `lowering.Writer`."""

    batch = OPEN

    def __init__(self, arch: ArchSpec) -> None:
        self._arch = arch
        self._buffers = [schema.BufferT()]  # the first is that of all tensors without data
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._kinds: list[int] = []  # of operators, each once
        self._index: dict[str, int] = {}  # of tensors, by name

    def tensor(self, name: str, shape: Sequence[int], data: Array | None = None) -> str:
        """Add a tensor, with `data` a constant, and return its name."""
        one = schema.TensorT()
        one.name, one.shape, one.isVariable = name, [1 if size == OPEN else size for size in shape], False
        one.shapeSignature = [*shape] if OPEN in shape else None
        one.type = schema.TensorType.FLOAT32 if data is None else TYPES[data.dtype.name]
        one.buffer = 0 if data is None else self.buffer(data.tobytes())
        self._index[name] = len(self._tensors)
        self._tensors.append(one)
        return name

    def buffer(self, data: bytes) -> int:
        """Add bytes and return their place."""
        one = schema.BufferT()
        one.data = np.frombuffer(data, np.uint8)
        self._buffers.append(one)
        return len(self._buffers) - 1

    def constant(self, name: str, values: Any) -> str:
        """Put numbers into the file, float32 unless they are whole numbers, and return their name."""
        array = np.asarray(values)
        kept = array.astype(np.int32 if array.dtype == np.int64 else np.float32)
        return self.tensor(name, kept.shape, kept)

    def number(self, name: str, value: float) -> str:
        """Put one number into the file and return its name."""
        return self.constant(name, [value])

    def node(self, kind: int, name: str, inputs: Sequence[str], shape: Sequence[int], options: Any = None) -> str:
        """Add an operator whose one output has `name` and `shape` behind the batch, and return that name."""
        self.nodes(kind, inputs, {name: shape}, options)
        return name

    def nodes(self, kind: int, inputs: Sequence[str], outputs: Mapping[str, Sequence[int]], options: Any) -> None:
        """Add an operator with several outputs, name -> shape behind the batch."""
        one = schema.OperatorT()
        if kind not in self._kinds:
            self._kinds.append(kind)
        one.opcodeIndex = self._kinds.index(kind)
        one.inputs = [self._index[name] for name in inputs]
        one.outputs = [self._index[self.tensor(name, (OPEN, *shape))] for name, shape in outputs.items()]
        if options is not None:
            one.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            one.builtinOptions = options
        self._operators.append(one)

    def input(self, shape: Shape) -> Value:
        """Return the images."""
        return Value(self.tensor(INPUT, (OPEN, *shape)), shape)

    def conv(self, name: str, at: Value, weight: Array, bias: Array | None, *, stride: int, act: Act) -> Value:
        """Add a dense convolution with its activation."""
        shift = np.zeros(weight.shape[-1]) if bias is None else bias
        options = schema.Conv2DOptionsT()
        return self._conv(name, at, (weight.transpose(3, 0, 1, 2), shift), stride=stride, act=act, options=options)

    def depthwise(self, name: str, at: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution with its activation."""
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = 1
        return self._conv(name, at, (weight[None], bias), stride=stride, act=act, options=options)

    def _conv(
        self, name: str, at: Value, numbers: tuple[Array, Array], *, stride: int, act: Act, options: Any
    ) -> Value:
        """Add a convolution of (weight [..., k, k, ...], bias), zeros around it as a node of their own if need be."""
        weight, bias = numbers
        kernel = weight.shape[1]
        expected, built_in = (
            [pads(size, kernel, stride, padding) for size in at.shape[:2]] for padding in (self._arch.padding, "same")
        )
        options.padding = schema.Padding.SAME if expected == built_in else schema.Padding.VALID
        if expected != built_in:
            at = self._padded(f"{name}.pad", at, expected)
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = FUSED.get(act, FUSED["none"])
        shape = self._strided(at.shape, kernel, stride, options.padding)._replace(channels=len(bias))
        dense = isinstance(options, schema.Conv2DOptionsT)
        inputs = [at.name, *self.weight(name, at.name, (weight, bias), axis=0 if dense else 3)]
        done = self.node(KINDS.CONV_2D if dense else KINDS.DEPTHWISE_CONV_2D, name, inputs, shape, options)
        return self._activated(f"{name}.{act}", Value(done, shape), act)

    def weight(self, name: str, at: str, numbers: tuple[Array, Array], *, axis: int | None) -> list[str]:
        """Put (weight, bias) of a layer into the file and return their names.

        `at` is the layer's input and `axis` that of the weight's output channels, for who needs to know.
        """
        return [self.constant(f"{name}.{key}", values) for key, values in zip(("weight", "bias"), numbers, strict=True)]

    def _padded(self, name: str, at: Value, zeros: Sequence[tuple[int, int]]) -> Value:
        rows, columns = (sum(pair) for pair in zeros)
        shape = Shape(at.shape.height + rows, at.shape.width + columns, at.shape.channels)
        amounts = self.constant(f"{name}.zeros", np.array([(0, 0), *zeros, (0, 0)], np.int64))
        return Value(self.node(KINDS.PAD, name, [at.name, amounts], shape, schema.PadOptionsT()), shape)

    def _strided(self, shape: Shape, kernel_size: int, stride: int, padding: int) -> Shape:
        if padding == schema.Padding.SAME:
            return shape.strided(stride, shape.channels)
        return Shape(
            (shape.height - kernel_size) // stride + 1, (shape.width - kernel_size) // stride + 1, shape.channels
        )

    def _activated(self, name: str, at: Value, act: Act) -> Value:
        """Add an activation that is no part of the operator in front of it."""
        if act in FUSED:
            return at
        if act == "hswish":
            return self.hard_swish(name, at)
        if act == "gelu":
            return Value(self.node(KINDS.GELU, name, [at.name], at.shape, schema.GeluOptionsT()), at.shape)
        return self.multiply(name, at, self.gate(f"{name}.sigmoid", at, "sigmoid"))

    def hard_swish(self, name: str, at: Value) -> Value:
        """Add x * hard_sigmoid(x)."""
        return Value(self.node(KINDS.HARD_SWISH, name, [at.name], at.shape, schema.HardSwishOptionsT()), at.shape)

    def affine(self, name: str, at: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel."""
        times = Value(self.constant(f"{name}.factor", factor), at.shape)
        plus = Value(self.constant(f"{name}.bias", bias), at.shape)
        return self.add(name, self.multiply(f"{name}.times", at, times), plus)

    def pool(self, name: str, at: Value) -> Value:
        """Add the mean over all positions."""
        options = schema.ReducerOptionsT()
        options.keepDims = True
        shape = Shape(1, 1, at.shape.channels)
        axes = self.constant(f"{name}.axes", np.array([1, 2]))
        return Value(self.node(KINDS.MEAN, name, [at.name, axes], shape, options), shape)

    def flatten(self, name: str, at: Value) -> Value:
        """Add a view of a 1 x 1 map as a vector."""
        return Value(self._reshape(name, at.name, [at.shape.channels]), at.shape)

    def dense(self, name: str, at: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer with its activation."""
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = FUSED.get(act, FUSED["none"])
        out = weight.shape[1]
        inputs = [at.name, *self.weight(name, at.name, (weight.T, bias), axis=None)]
        done = Value(self.node(KINDS.FULLY_CONNECTED, name, inputs, [out], options), Shape(1, 1, out))
        if act in FUSED:
            return done
        square = done._replace(name=self._reshape(f"{name}.map", done.name, done.shape))
        return self.flatten(f"{name}.flat", self._activated(f"{name}.{act}", square, act))

    def gate(self, name: str, at: Value, gate: Gate) -> Value:
        """Add a gate's function; the hard sigmoid is ReLU6(x + 3) / 6."""
        if gate == "sigmoid":
            return Value(self.node(KINDS.LOGISTIC, name, [at.name], at.shape), at.shape)
        plus = schema.AddOptionsT()
        plus.fusedActivationFunction = FUSED["relu6"]
        inputs = [at.name, self.number(f"{name}.three", 3.0)]
        clipped = Value(self.node(KINDS.ADD, f"{name}.clipped", inputs, at.shape, plus), at.shape)
        return self.multiply(name, clipped, Value(self.number(f"{name}.sixth", 1 / 6), at.shape))

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        inputs = [left.name, right.name]
        return Value(self.node(KINDS.ADD, name, inputs, left.shape, schema.AddOptionsT()), left.shape)

    def multiply(self, name: str, at: Value, gate: Value) -> Value:
        """Add a product, over all positions where `gate` is a 1 x 1 map."""
        return Value(self.node(KINDS.MUL, name, [at.name, gate.name], at.shape, schema.MulOptionsT()), at.shape)

    def split(self, name: str, at: Value, widths: Sequence[int]) -> list[Value]:
        """Add a split of the channels."""
        options = schema.SplitVOptionsT()
        options.numSplits = len(widths)
        parts = {f"{name}.{i}": at.shape._replace(channels=width) for i, width in enumerate(widths)}
        sizes = self.constant(f"{name}.widths", np.array(widths, np.int64))
        axis = self.constant(f"{name}.axis", np.array(3))
        self.nodes(KINDS.SPLIT_V, [at.name, sizes, axis], parts, options)
        return [Value(part, shape) for part, shape in parts.items()]

    def concat(self, name: str, parts: Sequence[Value]) -> Value:
        """Add a concatenation of channels."""
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        shape = parts[0].shape._replace(channels=sum(part.shape.channels for part in parts))
        return Value(self.node(KINDS.CONCATENATION, name, [part.name for part in parts], shape, options), shape)

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention: the queries of all heads are the rows of one matrix product."""
        size, depth = key.shape.channels, value.shape.channels
        rows, columns = query.shape.elements // size, key.shape.height * key.shape.width
        queries = self._reshape(f"{name}.query.rows", query.name, (rows, size))
        keys = self._reshape(f"{name}.key.rows", key.name, (columns, size))
        values = self._reshape(f"{name}.value.rows", value.name, (columns, depth))
        across, softmax, along = schema.BatchMatMulOptionsT(), schema.SoftmaxOptionsT(), schema.BatchMatMulOptionsT()
        across.adjY, softmax.beta = True, 1.0
        scores = self.node(KINDS.BATCH_MATMUL, f"{name}.scores", [queries, keys], (rows, columns), across)
        weights = self.node(KINDS.SOFTMAX, f"{name}.softmax", [scores], (rows, columns), softmax)
        mixed = self.node(KINDS.BATCH_MATMUL, f"{name}.mix", [weights, values], (rows, depth), along)
        shape = query.shape._replace(channels=rows * depth // (query.shape.height * query.shape.width))
        return Value(self._reshape(f"{name}.mix.map", mixed, shape), shape)

    def _reshape(self, name: str, at: str, sizes: Sequence[int]) -> str:
        """Add a view with `sizes` behind the batch."""
        options = schema.ReshapeOptionsT()
        options.newShape = [self.batch, *sizes]
        shape = self.constant(f"{name}.sizes", np.array([self.batch, *sizes], np.int64))
        return self.node(KINDS.RESHAPE, name, [at, shape], sizes, options)

    def model(self, last: Value, metadata: Mapping[str, str]) -> bytes:
        """Return the file's content, whose logits are `last`."""
        self._tensors[self._index[last.name]].name = OUTPUT
        graph, model, entry = schema.SubGraphT(), schema.ModelT(), schema.MetadataT()
        graph.name, graph.tensors, graph.operators = "network", self._tensors, self._operators
        graph.inputs, graph.outputs = [self._index[INPUT]], [self._index[last.name]]
        entry.name, entry.buffer = METADATA, self.buffer(json.dumps(metadata, sort_keys=True).encode())
        model.version, model.description, model.subgraphs = VERSION, "nas-engine", [graph]
        model.operatorCodes, model.buffers = [self.code(kind) for kind in self._kinds], self._buffers
        model.metadata = [entry]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def code(self, kind: int) -> Any:
        """Return the entry of an operator in the list of those that the model uses."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, OLD_CODES), 1
        return code


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a file that `tflite_model` wrote."""
    model = schema.ModelT.InitFromPackedBuf(content)
    (entry,) = (one for one in model.metadata if one.name.decode() == METADATA)
    found: dict[str, str] = json.loads(bytes(model.buffers[entry.buffer].data))
    return found


def interpreter(model: bytes, images: NDArray[np.float32], threads: int = 1) -> Any:
    """Return LiteRT's interpreter of the model, given the images [N, H, W, C] as its input."""
    one = Interpreter(model_content=model, num_threads=threads)
    place = one.get_input_details()[0]["index"]
    one.resize_tensor_input(place, images.shape)
    one.allocate_tensors()
    one.set_tensor(place, images)
    return one
