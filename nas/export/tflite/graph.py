"""A network as a TFLite graph, NHWC, with a batch of any size, by the flatbuffer schema in ai-edge-litert.

Format: https://github.com/google-ai-edge/LiteRT, tflite/schema/schema.fbs. No TensorFlow.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.options import DEFAULT, FileOptions
from nas.nn.lowering import lower
from nas.ops import Act, Gate, Shape
from nas.ops.graph import Array, Axis, EvoNormNumbers, Padding, Side, Strides, Tensors, Value, both, padding_of

VERSION, IDENTIFIER = 3, b"TFL3"
INPUT, OUTPUT = "pictures", "logits"  # names of the tensors, in files since release 0.1
METADATA = "nas-engine"  # the name of the entry that holds our metadata as JSON
ANY_SIZE = -1  # of the batch
LAST_OLD_CODE = 127  # the schema's first field for the code of an operator goes no further
FUSED_ACTS: dict[Act, int] = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}  # activations that are an option of the operator in front of them
OPERATORS = schema.BuiltinOperator
AXES: dict[Axis, int] = {"height": 1, "width": 2, "channels": 3}
CONSTANT_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
}


def tflite_model(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], options: FileOptions = DEFAULT
) -> bytes:
    """Return the file of `arch`: images [N, H, W, C] -> logits [N, classes], float32; see `lowering.lower`."""
    graph = TfliteGraph(arch)
    return graph.model(lower(arch, tensors, graph, options.uint8_input), metadata)


class TfliteGraph:
    """The operators, tensors and buffers of a TFLite graph under construction: a `nas.ops.graph.Writer`."""

    batch = ANY_SIZE

    def __init__(self, arch: ArchSpec) -> None:
        self._arch = arch
        self._buffers = [schema.BufferT()]  # the first one belongs to all tensors without data
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._kinds: list[int] = []  # of operators, each once
        self._index: dict[str, int] = {}  # of tensors, by name

    def tensor(self, name: str, shape: Sequence[int], data: Array | None = None) -> str:
        """Add a tensor, with `data` a constant, and return its name."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.isVariable = name, [1 if size == ANY_SIZE else size for size in shape], False
        tensor.shapeSignature = [*shape] if ANY_SIZE in shape else None
        tensor.type = schema.TensorType.FLOAT32 if data is None else CONSTANT_TYPES[data.dtype.name]
        tensor.buffer = 0 if data is None else self.buffer(data.tobytes())
        self._index[name] = len(self._tensors)
        self._tensors.append(tensor)
        return name

    def buffer(self, data: bytes) -> int:
        """Add a buffer with these bytes and return its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def constant(self, name: str, values: Any) -> str:
        """Add a constant, int64 as int32 and all else as float32, and return its name."""
        array = np.asarray(values)
        kept = array.astype(np.int32 if array.dtype == np.int64 else np.float32)
        return self.tensor(name, kept.shape, kept)

    def number(self, name: str, value: float) -> str:
        """Add a constant of one number and return its name."""
        return self.constant(name, [value])

    def node(self, kind: int, name: str, inputs: Sequence[str], shape: Sequence[int], options: Any = None) -> str:
        """Add an operator whose one output has `name` and `shape` behind the batch, and return that name."""
        self.nodes(kind, inputs, {name: shape}, options)
        return name

    def nodes(self, kind: int, inputs: Sequence[str], outputs: Mapping[str, Sequence[int]], options: Any) -> None:
        """Add an operator with several outputs, name -> shape behind the batch."""
        operator = schema.OperatorT()
        if kind not in self._kinds:
            self._kinds.append(kind)
        operator.opcodeIndex = self._kinds.index(kind)
        operator.inputs = [self._index[name] for name in inputs]
        operator.outputs = [self._index[self.tensor(name, (ANY_SIZE, *shape))] for name, shape in outputs.items()]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self._operators.append(operator)

    def input(self, shape: Shape) -> Value:
        """Add the input of the network."""
        return Value(self.tensor(INPUT, (ANY_SIZE, *shape)), shape)

    def pixels(self, shape: Shape) -> Value:
        """Add an input of uint8 images and its conversion to float32."""
        self.tensor(INPUT, (ANY_SIZE, *shape))
        self._tensors[self._index[INPUT]].type = schema.TensorType.UINT8
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
        return Value(self.node(OPERATORS.CAST, f"{INPUT}.float", [INPUT], shape, options), shape)

    def conv(
        self, name: str, x: Value, weight: Array, bias: Array | None, *, stride: Strides, act: Act,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a dense convolution with its activation."""
        shift = np.zeros(weight.shape[-1]) if bias is None else bias
        numbers, options = (weight.transpose(3, 0, 1, 2), shift), schema.Conv2DOptionsT()
        return self._conv(name, x, numbers, stride=stride, act=act, options=options, padding=padding)

    def depthwise(self, name: str, x: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution with its activation."""
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = 1
        return self._conv(name, x, (weight[None], bias), stride=stride, act=act, options=options)

    def _conv(
        self, name: str, x: Value, numbers: tuple[Array, Array], *, stride: Strides, act: Act, options: Any,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a convolution of (weight [..., kh, kw, ...], bias), behind zero padding where TFLite's "same" differs."""
        weight, bias = numbers
        window = weight.shape[1:3]
        zeros, same = (padding_of(x.shape, window, stride, kind) for kind in (padding or self._arch.padding, "same"))
        options.padding = schema.Padding.SAME if zeros == same else schema.Padding.VALID
        if zeros != same:
            x = self._padded(f"{name}.pad", x, zeros)
        options.strideH, options.strideW = both(stride)
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = FUSED_ACTS.get(act, FUSED_ACTS["none"])
        shape = self._strided(x.shape, window, stride, options.padding)._replace(channels=len(bias))
        dense = isinstance(options, schema.Conv2DOptionsT)
        inputs = [x.name, *self.weight(name, x.name, (weight, bias), axis=0 if dense else 3)]
        done = self.node(OPERATORS.CONV_2D if dense else OPERATORS.DEPTHWISE_CONV_2D, name, inputs, shape, options)
        return self._activated(f"{name}.{act}", Value(done, shape), act)

    def frames(self, name: str, x: Value, weight: Array, *, hop: int) -> Value:
        """Add a convolution over time without padding."""
        window, out = weight.shape
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, hop, 1
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = FUSED_ACTS["none"]
        shape = Shape((x.shape.height - window) // hop + 1, 1, out)
        inputs = [x.name, *self.weight(name, x.name, (weight.T[:, :, None, None], np.zeros(out)), axis=0)]
        return Value(self.node(OPERATORS.CONV_2D, name, inputs, shape, options), shape)

    def powers(self, name: str, x: Value, window: Array, *, hop: int, fft_size: int, bins: range) -> Value:
        """Add the frames of a waveform, gathered, their FFT of two dimensions, of which one is 1, and its squares."""
        size = len(window)
        starts = np.arange(0, x.shape.height - size + 1, hop)
        frames = len(starts)
        places = self.constant(f"{name}.places", (starts[:, None] + np.arange(size))[:, None])
        options = schema.GatherOptionsT()
        options.axis, options.batchDims = 1, 0
        flat = self._reshape(f"{name}.signal", x.name, (x.shape.height,))
        cut = self.node(OPERATORS.GATHER, f"{name}.frames", [flat, places], (frames, 1, size), options)
        weights = Value(self.constant(f"{name}.window", window), Shape(1, 1, size))
        windowed = self.multiply(f"{name}.windowed", Value(cut, Shape(frames, 1, size)), weights)
        lengths = self.constant(f"{name}.lengths", np.array([1, fft_size]))
        shape = Shape(frames, 1, fft_size // 2 + 1)
        spectra = self.node(OPERATORS.RFFT2D, f"{name}.fft", [windowed.name, lengths], shape, schema.Rfft2dOptionsT())
        self._tensors[self._index[spectra]].type = schema.TensorType.COMPLEX64
        length = Value(self.node(OPERATORS.COMPLEX_ABS, f"{name}.abs", [spectra], shape), shape)
        squares = self.multiply(f"{name}.squares", length, length)
        shares = [bins.start, len(bins), shape.channels - bins.stop]
        parts = self.split(name, squares, [share for share in shares if share])
        return parts[1 if bins.start else 0]

    def log(self, name: str, x: Value) -> Value:
        """Add a natural logarithm."""
        return Value(self.node(OPERATORS.LOG, name, [x.name], x.shape), x.shape)

    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds: all of the graph is in floats."""
        return make(x)

    def channels_to_width(self, name: str, x: Value) -> Value:
        """Add a view of H x 1 x C as H x C x 1."""
        height, _, channels = x.shape
        shape = Shape(height, channels, 1)
        return Value(self._reshape(name, x.name, shape), shape)

    def positions_to_channels(self, name: str, x: Value) -> Value:
        """Add a view of H x W x C as 1 x 1 x HWC."""
        shape = Shape(1, 1, x.shape.elements)
        return Value(self._reshape(name, x.name, shape), shape)

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum over windows, where TFLite's "same" differs behind copies of the edges.

        A window that reaches over an edge holds it, so a copy of it changes no maximum.
        """
        copies, same = (padding_of(x.shape, window, stride, kind) for kind in (self._arch.padding, "same"))
        if copies != same:
            x = self._with_edges(f"{name}.height", x, "height", copies[0])
            x = self._with_edges(f"{name}.width", x, "width", copies[1])
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.SAME if copies == same else schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.filterHeight, options.filterWidth = window
        options.fusedActivationFunction = FUSED_ACTS["none"]
        shape = self._strided(x.shape, window, stride, options.padding)
        return Value(self.node(OPERATORS.MAX_POOL_2D, name, [x.name], shape, options), shape)

    def _with_edges(self, name: str, x: Value, axis: Side, around: tuple[int, int]) -> Value:
        """Add the map with so many copies of its first and of its last row, or column, around it."""
        if not any(around):
            return x
        size = getattr(x.shape, axis)
        first = last = x
        if size > 1:
            first, *_, last = self.split(f"{name}.edges", x, [1, *([size - 2] if size > 2 else []), 1], axis)
        return self.concat(f"{name}.padded", [first] * around[0] + [x] + [last] * around[1], axis)

    def softmax_over_height(self, name: str, x: Value) -> Value:
        """Add a softmax over the height, as the last axis."""
        height, width, channels = x.shape
        last = self._transposed(f"{name}.last", x.name, [0, 2, 3, 1], (width, channels, height))
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        done = self.node(OPERATORS.SOFTMAX, f"{name}.softmax", [last], (width, channels, height), softmax)
        return Value(self._transposed(name, done, [0, 3, 1, 2], x.shape), x.shape)

    def _transposed(self, name: str, x: str, axes: Sequence[int], shape: Sequence[int]) -> str:
        order = self.constant(f"{name}.axes", np.array(axes))
        return self.node(OPERATORS.TRANSPOSE, name, [x, order], shape, schema.TransposeOptionsT())

    def channel_products(self, name: str, x: Value) -> Value:
        """Add the product of the transpose of a map, positions x channels, with it."""
        height, width, channels = x.shape
        rows = self._reshape(f"{name}.rows", x.name, (height * width, channels))
        options = schema.BatchMatMulOptionsT()
        options.adjX = True
        products = self.node(OPERATORS.BATCH_MATMUL, f"{name}.products", [rows, rows], (channels, channels), options)
        shape = Shape(1, 1, channels**2)
        return Value(self._reshape(name, products, shape), shape)

    def weight(self, name: str, x: str, numbers: tuple[Array, Array], *, axis: int | None) -> list[str]:
        """Add (weight, bias) of a layer as constants and return their names.

        `x` is the layer's input and `axis` that of the weight's output channels; only int8 weights depend on them.
        """
        return [self.constant(f"{name}.{key}", values) for key, values in zip(("weight", "bias"), numbers, strict=True)]

    def _padded(self, name: str, x: Value, zeros: Sequence[tuple[int, int]]) -> Value:
        """Add zeros before and after the rows and the columns."""
        rows, columns = (sum(pair) for pair in zeros)
        shape = Shape(x.shape.height + rows, x.shape.width + columns, x.shape.channels)
        amounts = self.constant(f"{name}.zeros", np.array([(0, 0), *zeros, (0, 0)], np.int64))
        return Value(self.node(OPERATORS.PAD, name, [x.name, amounts], shape, schema.PadOptionsT()), shape)

    def _strided(self, shape: Shape, window: tuple[int, ...], stride: Strides, padding: int) -> Shape:
        """Return the shape behind windows over a map, without further zeros where the padding is VALID."""
        lost = (1, 1) if padding == schema.Padding.SAME else window
        sizes = zip(shape.size, lost, both(stride), strict=True)
        height, width = ((size - one) // step + 1 for size, one, step in sizes)
        return Shape(height, width, shape.channels)

    def _activated(self, name: str, x: Value, act: Act) -> Value:
        """Add an activation, unless it is fused into the operator in front of it."""
        if act in FUSED_ACTS:
            return x
        if act == "hswish":
            return self.hard_swish(name, x)
        if act == "gelu":
            return Value(self.node(OPERATORS.GELU, name, [x.name], x.shape, schema.GeluOptionsT()), x.shape)
        return self.multiply(name, x, self.gate(f"{name}.sigmoid", x, "sigmoid"))

    def hard_swish(self, name: str, x: Value) -> Value:
        """Add x * hard_sigmoid(x)."""
        return Value(self.node(OPERATORS.HARD_SWISH, name, [x.name], x.shape, schema.HardSwishOptionsT()), x.shape)

    def affine(self, name: str, x: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel."""
        times = Value(self.constant(f"{name}.factor", factor), x.shape)
        plus = Value(self.constant(f"{name}.bias", bias), x.shape)
        return self.add(name, self.multiply(f"{name}.times", x, times), plus)

    def pool(self, name: str, x: Value) -> Value:
        """Add the mean over all positions."""
        return self._mean(name, x, [1, 2], Shape(1, 1, x.shape.channels))

    def flatten(self, name: str, x: Value) -> Value:
        """Add a view of a 1 x 1 map as a vector."""
        return Value(self._reshape(name, x.name, [x.shape.channels]), x.shape)

    def dense(self, name: str, x: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer with its activation."""
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = FUSED_ACTS.get(act, FUSED_ACTS["none"])
        out = weight.shape[1]
        inputs = [x.name, *self.weight(name, x.name, (weight.T, bias), axis=None)]
        done = Value(self.node(OPERATORS.FULLY_CONNECTED, name, inputs, [out], options), Shape(1, 1, out))
        if act in FUSED_ACTS:
            return done
        square = done._replace(name=self._reshape(f"{name}.map", done.name, done.shape))
        return self.flatten(f"{name}.flat", self._activated(f"{name}.{act}", square, act))

    def gate(self, name: str, x: Value, gate: Gate) -> Value:
        """Add a gate's function; the hard sigmoid is ReLU6(x + 3) / 6."""
        if gate == "sigmoid":
            return Value(self.node(OPERATORS.LOGISTIC, name, [x.name], x.shape), x.shape)
        plus = schema.AddOptionsT()
        plus.fusedActivationFunction = FUSED_ACTS["relu6"]
        inputs = [x.name, self.number(f"{name}.three", 3.0)]
        clipped = Value(self.node(OPERATORS.ADD, f"{name}.clipped", inputs, x.shape, plus), x.shape)
        return self.multiply(name, clipped, Value(self.number(f"{name}.sixth", 1 / 6), x.shape))

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        inputs = [left.name, right.name]
        return Value(self.node(OPERATORS.ADD, name, inputs, left.shape, schema.AddOptionsT()), left.shape)

    def multiply(self, name: str, x: Value, gate: Value, act: Act = "none") -> Value:
        """Add a product, over all positions of the sides that are 1 in `gate`, with its activation."""
        options = schema.MulOptionsT()
        options.fusedActivationFunction = FUSED_ACTS.get(act, FUSED_ACTS["none"])
        done = Value(self.node(OPERATORS.MUL, name, [x.name, gate.name], x.shape, options), x.shape)
        return self._activated(f"{name}.{act}", done, act)

    def mean(self, name: str, x: Value, axis: Side) -> Value:
        """Add the mean over one side."""
        sides = {"height": 1} if axis == "height" else {"width": 1}
        return self._mean(name, x, [AXES[axis]], x.shape._replace(**sides))

    def _mean(self, name: str, x: Value, axes: Sequence[int], shape: Shape) -> Value:
        """Add the mean over these axes, which become 1."""
        options = schema.ReducerOptionsT()
        options.keepDims = True
        over = self.constant(f"{name}.axes", np.array(axes))
        return Value(self.node(OPERATORS.MEAN, name, [x.name, over], shape, options), shape)

    def turn(self, name: str, x: Value) -> Value:
        """Add a view with height and width exchanged."""
        shape = Shape(x.shape.width, x.shape.height, x.shape.channels)
        return Value(self._reshape(name, x.name, shape), shape)

    def evonorm(self, name: str, x: Value, numbers: EvoNormNumbers) -> Value:
        """Add EvoNorm-B0 or S0: deviations from means, then elementwise operators."""
        slope = self.multiply(f"{name}.slope", x, Value(self.constant(f"{name}.v", numbers.v), x.shape))
        if numbers.var is not None:
            batch = self.constant(f"{name}.batch", np.sqrt(numbers.var + numbers.eps))
            total = self.add(f"{name}.sum", slope, self._deviation(f"{name}.instance", x, [1, 2], numbers.eps))
            options = schema.MaximumMinimumOptionsT()
            below = Value(self.node(OPERATORS.MAXIMUM, f"{name}.below", [total.name, batch], x.shape, options), x.shape)
            ratio = self._divided(f"{name}.ratio", x, below)
        else:
            positions, groups = x.shape.height * x.shape.width, numbers.groups
            apart = Shape(positions, groups, x.shape.channels // groups)
            grouped = Value(self._reshape(f"{name}.groups", x.name, apart), apart)
            below = self._deviation(f"{name}.group", grouped, [1, 3], numbers.eps)
            gated = self.multiply(f"{name}.gated", x, self.gate(f"{name}.sigmoid", slope, "sigmoid"))
            above = Value(self._reshape(f"{name}.gated.groups", gated.name, apart), apart)
            ratio = self._divided(f"{name}.ratio", above, below)
            ratio = Value(self._reshape(f"{name}.map", ratio.name, x.shape), x.shape)
        return self.affine(name, ratio, numbers.scale, numbers.bias)

    def _deviation(self, name: str, x: Value, axes: Sequence[int], eps: float) -> Value:
        """Add sqrt(variance + eps) over these axes of x [N, H, W, C]."""
        shape = Shape(*(1 if axis in axes else size for axis, size in enumerate(x.shape, start=1)))
        mean, options = self._mean(f"{name}.mean", x, axes, shape), schema.SquaredDifferenceOptionsT()
        inputs = [x.name, mean.name]
        squares = Value(self.node(OPERATORS.SQUARED_DIFFERENCE, f"{name}.squares", inputs, x.shape, options), x.shape)
        variance = self._mean(f"{name}.variance", squares, axes, shape)
        plus = self.add(f"{name}.plus", variance, Value(self.number(f"{name}.eps", eps), shape))
        return Value(self.node(OPERATORS.SQRT, name, [plus.name], shape), shape)

    def _divided(self, name: str, above: Value, below: Value) -> Value:
        inputs = [above.name, below.name]
        return Value(self.node(OPERATORS.DIV, name, inputs, above.shape, schema.DivOptionsT()), above.shape)

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a split of the channels or of a side."""
        options = schema.SplitVOptionsT()
        options.numSplits = len(widths)
        parts = {f"{name}.{i}": x.shape._replace(**{axis: width}) for i, width in enumerate(widths)}
        sizes = self.constant(f"{name}.widths", np.array(widths, np.int64))
        number = self.constant(f"{name}.axis", np.array(AXES[axis]))
        self.nodes(OPERATORS.SPLIT_V, [x.name, sizes, number], parts, options)
        return [Value(part, shape) for part, shape in parts.items()]

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation of channels or along a side."""
        options = schema.ConcatenationOptionsT()
        options.axis = AXES[axis]
        shape = parts[0].shape._replace(**{axis: sum(getattr(part.shape, axis) for part in parts)})
        return Value(self.node(OPERATORS.CONCATENATION, name, [part.name for part in parts], shape, options), shape)

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention: the queries of all heads are the rows of one matrix product."""
        size, depth = key.shape.channels, value.shape.channels
        rows, columns = query.shape.elements // size, key.shape.height * key.shape.width
        queries = self._reshape(f"{name}.query.rows", query.name, (rows, size))
        keys = self._reshape(f"{name}.key.rows", key.name, (columns, size))
        values = self._reshape(f"{name}.value.rows", value.name, (columns, depth))
        across, softmax, along = schema.BatchMatMulOptionsT(), schema.SoftmaxOptionsT(), schema.BatchMatMulOptionsT()
        across.adjY, softmax.beta = True, 1.0
        scores = self.node(OPERATORS.BATCH_MATMUL, f"{name}.scores", [queries, keys], (rows, columns), across)
        weights = self.node(OPERATORS.SOFTMAX, f"{name}.softmax", [scores], (rows, columns), softmax)
        mixed = self.node(OPERATORS.BATCH_MATMUL, f"{name}.mix", [weights, values], (rows, depth), along)
        shape = query.shape._replace(channels=rows * depth // (query.shape.height * query.shape.width))
        return Value(self._reshape(f"{name}.mix.map", mixed, shape), shape)

    def _reshape(self, name: str, x: str, sizes: Sequence[int]) -> str:
        """Add a view with `sizes` behind the batch."""
        options = schema.ReshapeOptionsT()
        options.newShape = [self.batch, *sizes]
        shape = self.constant(f"{name}.sizes", np.array([self.batch, *sizes], np.int64))
        return self.node(OPERATORS.RESHAPE, name, [x, shape], sizes, options)

    def model(self, last: Value, metadata: Mapping[str, str]) -> bytes:
        """Return the file of the model whose logits are `last`."""
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
        """Return the entry of an operator in the model's list of operator codes."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, LAST_OLD_CODE), 1
        return code


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a file that `tflite_model` wrote."""
    model = schema.ModelT.InitFromPackedBuf(content)
    (entry,) = (one for one in model.metadata if one.name.decode() == METADATA)
    found: dict[str, str] = json.loads(bytes(model.buffers[entry.buffer].data))
    return found


def interpreter(model: bytes, images: Array, threads: int = 1) -> Any:
    """Return LiteRT's interpreter of the model, with the images [N, H, W, C] as its input."""
    network = Interpreter(model_content=model, num_threads=threads)
    index = network.get_input_details()[0]["index"]
    network.resize_tensor_input(index, images.shape)
    network.allocate_tensors()
    network.set_tensor(index, images)
    return network


def logits_of(model: bytes, images: Array) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C]."""
    network = interpreter(model, images)
    network.invoke()
    found: NDArray[np.float32] = network.get_tensor(network.get_output_details()[0]["index"])
    return found
