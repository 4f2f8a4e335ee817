"""A network as an ONNX graph, NCHW, with a batch of any size: https://onnx.ai/onnx/operators."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.options import DEFAULT, FileOptions
from nas.nn.lowering import lower
from nas.ops import Act, Gate, Shape
from nas.ops.graph import Array, Axis, EvoNormNumbers, Padding, Side, Strides, Tensors, Value, both, padding_of

FIRST_OPSET = {
    "Split": 13, "ReduceSum": 13, "DequantizeLinear": 13, "HardSwish": 14, "STFT": 17, "Gelu": 20,
}  # with the operator as written here  # fmt: skip
FIRST_OF_OTHERS = 11  # of all other operators here: Clip with its limits as inputs
USUAL_OPSET = 13  # read by the runtimes in use; a file has a higher one only where its operators need it
AXES: dict[Axis, int] = {"channels": 1, "height": 2, "width": 3}
INPUT, OUTPUT = "pictures", "logits"  # names of the tensors, in files since release 0.1


def onnx_model(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], options: FileOptions = DEFAULT
) -> onnx.ModelProto:
    """Return the model of `arch`: images [N, C, H, W] -> logits [N, classes], float32; see `lowering.lower`.

    `InvalidInput` where an operator of the network does not exist in the opset that `options` ask for.
    """
    graph = OnnxGraph(arch, options)
    return graph.model(lower(arch, tensors, graph, options.uint8_input), metadata)


class OnnxGraph:
    """The nodes and constants of an ONNX graph under construction: a `nas.ops.graph.Writer`."""

    def __init__(self, arch: ArchSpec, options: FileOptions = DEFAULT) -> None:
        self._arch, self._opset, self._of_pixels = arch, options.opset, options.uint8_input is not None
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: Any) -> str:
        """Add a constant, int64 as it is and all else as float32, and return its name."""
        array = np.asarray(values)
        kept = array if array.dtype == np.int64 else array.astype(np.float32)
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(kept), name)
        return name

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name, and return that name."""
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def has(self, kind: str) -> bool:
        """Return whether an operator exists in the opset of the file; each does where none was asked for."""
        return self._opset is None or self._opset >= FIRST_OPSET[kind]

    def input(self, shape: Shape) -> Value:
        """Return the input of the network."""
        return Value(INPUT, shape)

    def pixels(self, shape: Shape) -> Value:
        """Add a conversion of uint8 images [N, H, W, C] to float32 [N, C, H, W]."""
        floats = self.node("Cast", f"{INPUT}.float", INPUT, to=TensorProto.FLOAT)
        return Value(self.node("Transpose", f"{INPUT}.nchw", floats, perm=[0, 3, 1, 2]), shape)

    def conv(
        self, name: str, x: Value, weight: Array, bias: Array | None, *, stride: Strides, act: Act,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a dense convolution with its activation."""
        filters = weight.transpose(3, 2, 0, 1)
        return self._conv(name, x, filters, bias, act=act, stride=stride, groups=1, padding=padding)

    def depthwise(self, name: str, x: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution with its activation."""
        filters = weight.transpose(2, 0, 1)[:, None]
        return self._conv(name, x, filters, bias, act=act, stride=stride, groups=x.shape.channels)

    def _conv(
        self, name: str, x: Value, weight: Array, bias: Array | None, *, act: Act, stride: Strides, groups: int,
        padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a convolution with weight [out, in / groups, kh, kw]."""
        numbers = [self.constant(f"{name}.weight", weight)]
        if bias is not None:
            numbers.append(self.constant(f"{name}.bias", bias))
        return self._conv_node(name, x, numbers, weight.shape, act=act, stride=stride, groups=groups, padding=padding)

    def _conv_node(
        self, name: str, x: Value, numbers: Sequence[str], weight_shape: Sequence[int], *, act: Act, stride: Strides,
        groups: int, padding: Padding | None = None,
    ) -> Value:  # fmt: skip
        """Add a convolution of the weight, and the bias, that `numbers` names."""
        out, _, *window = weight_shape
        attributes = self._windows(x.shape, window, stride, padding) | {"group": groups}
        done = self.node("Conv", name, x.name, *numbers, **attributes)
        height, width = (-(-size // step) for size, step in zip(x.shape.size, both(stride), strict=True))
        return Value(ACTS[act](self, done, f"{name}.{act}"), Shape(height, width, out))

    def _windows(
        self, shape: Shape, window: Sequence[int], stride: Strides, padding: Padding | None = None
    ) -> dict[str, Any]:
        """Return the attributes of an operator over windows of a map; `padding` is the network's where it is None."""
        before, after = zip(*padding_of(shape, window, stride, padding or self._arch.padding), strict=True)
        return {"kernel_shape": window, "strides": both(stride), "pads": [*before, *after]}

    def frames(self, name: str, x: Value, weight: Array, *, hop: int) -> Value:
        """Add a convolution over time without padding."""
        window, out = weight.shape
        filters = self.constant(f"{name}.weight", weight.T[:, None, :, None])
        attributes = {"kernel_shape": [window, 1], "strides": [hop, 1], "pads": [0] * 4, "group": 1}
        done = self.node("Conv", name, x.name, filters, **attributes)
        return Value(done, Shape((x.shape.height - window) // hop + 1, 1, out))

    def powers(self, name: str, x: Value, window: Array, *, hop: int, fft_size: int, bins: range) -> Value:
        """Add a short-time Fourier transform, of whose real and imaginary parts the squares are added.

        Its frames are as long as its FFT: zeros behind the waveform keep those in which only zeros would be missing.
        """
        samples, empty = x.shape.height, fft_size - len(window)
        frames = (samples - len(window)) // hop + 1
        signal = self._reshape(f"{name}.signal", x.name, (samples, 1))
        if empty:
            amounts = self.constant(f"{name}.zeros", np.array([0, 0, 0, 0, empty, 0], np.int64))
            signal = self.node("Pad", f"{name}.padded", signal, amounts)
        step = self.constant(f"{name}.hop", np.array(hop, np.int64))
        weights = self.constant(f"{name}.window", np.pad(window, (0, empty)))
        spectra = self.node("STFT", f"{name}.stft", signal, step, weights, onesided=1)
        squares = self.node("Mul", f"{name}.squares", spectra, spectra)
        last = self.constant(f"{name}.last", np.array([3], np.int64))
        all_bins = self.node("ReduceSum", f"{name}.sum", squares, last, keepdims=0)
        cut = [self.constant(f"{name}.{key}", np.array([number], np.int64)) for key, number in
               (("first", bins.start), ("end", bins.stop), ("axis", 2))]  # fmt: skip
        kept = self.node("Slice", f"{name}.bins", all_bins, *cut)
        turned = self.node("Transpose", f"{name}.turned", kept, perm=[0, 2, 1])
        return Value(self._reshape(name, turned, (len(bins), frames, 1)), Shape(frames, 1, len(bins)))

    def log(self, name: str, x: Value) -> Value:
        """Add a natural logarithm."""
        return Value(self.node("Log", name, x.name), x.shape)

    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds: all of the graph is in floats."""
        return make(x)

    def channels_to_width(self, name: str, x: Value) -> Value:
        """Add a view of H x 1 x C as H x C x 1."""
        height, _, channels = x.shape
        return Value(self.node("Transpose", name, x.name, perm=[0, 3, 2, 1]), Shape(height, channels, 1))

    def positions_to_channels(self, name: str, x: Value) -> Value:
        """Add a view of H x W x C as 1 x 1 x HWC."""
        behind = self.node("Transpose", f"{name}.turned", x.name, perm=[0, 2, 3, 1])
        return Value(self._reshape(name, behind, (x.shape.elements, 1, 1)), Shape(1, 1, x.shape.elements))

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum over windows."""
        done = self.node("MaxPool", name, x.name, **self._windows(x.shape, window, stride))
        return Value(done, x.shape.strided(stride, x.shape.channels))

    def softmax_over_height(self, name: str, x: Value) -> Value:
        """Add a softmax over the height, as the last axis: over another one opsets differ."""
        last = self.node("Transpose", f"{name}.last", x.name, perm=[0, 1, 3, 2])
        done = self.node("Softmax", f"{name}.softmax", last, axis=-1)
        return Value(self.node("Transpose", name, done, perm=[0, 1, 3, 2]), x.shape)

    def channel_products(self, name: str, x: Value) -> Value:
        """Add the product of a map, channels x positions, with its transpose."""
        height, width, channels = x.shape
        rows = self._reshape(f"{name}.rows", x.name, (channels, height * width))
        columns = self.node("Transpose", f"{name}.columns", rows, perm=[0, 2, 1])
        products = self.node("MatMul", f"{name}.products", rows, columns)
        return Value(self._reshape(name, products, (channels**2, 1, 1)), Shape(1, 1, channels**2))

    def affine(self, name: str, x: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel, as the one node that does both."""
        numbers = {"scale": factor, "bias": bias, "mean": np.zeros_like(bias), "var": np.ones_like(bias)}
        inputs = [self.constant(f"{name}.{key}", values) for key, values in numbers.items()]
        return Value(self.node("BatchNormalization", name, x.name, *inputs, epsilon=0.0), x.shape)

    def pool(self, name: str, x: Value) -> Value:
        """Add the mean over all positions."""
        return Value(self.node("GlobalAveragePool", name, x.name), Shape(1, 1, x.shape.channels))

    def flatten(self, name: str, x: Value) -> Value:
        """Return the 1 x 1 map as it is: dense layers are convolutions here, and only the logits are flattened."""
        return x

    def dense(self, name: str, x: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer with its activation, as a 1 x 1 convolution of a 1 x 1 map.

        ONNX Runtime packs the weights of a convolution for the processor and is faster with them than with Gemm: all of
        Conv-S takes 3 % less time for it, one image on one thread (experiments/benchmarks/export_speed.py).
        """
        return self._conv(name, x, weight.T[:, :, None, None], bias, act=act, stride=1, groups=1)

    def gate(self, name: str, x: Value, gate: Gate) -> Value:
        """Add a gate's function."""
        return Value(GATES[gate](self, x.name, name), x.shape)

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        return Value(self.node("Add", name, left.name, right.name), left.shape)

    def multiply(self, name: str, x: Value, gate: Value, act: Act = "none") -> Value:
        """Add the product of a map and a gate, with its activation."""
        return Value(ACTS[act](self, self.node("Mul", name, x.name, gate.name), f"{name}.{act}"), x.shape)

    def mean(self, name: str, x: Value, axis: Side) -> Value:
        """Add the mean over one side, as an average pool, which is the same in all opsets."""
        height, width, channels = x.shape
        window, shape = ([height, 1], (1, width)) if axis == "height" else ([1, width], (height, 1))
        return Value(self.node("AveragePool", name, x.name, kernel_shape=window), Shape(*shape, channels))

    def turn(self, name: str, x: Value) -> Value:
        """Add a view with height and width exchanged."""
        height, width, channels = x.shape
        return Value(self._reshape(name, x.name, (channels, width, height)), Shape(width, height, channels))

    def evonorm(self, name: str, x: Value, numbers: EvoNormNumbers) -> Value:
        """Add EvoNorm-B0 or S0: deviations from means by pools, then elementwise nodes."""
        height, width, channels = x.shape
        per_channel = {"v": numbers.v, "scale": numbers.scale, "bias": numbers.bias}
        names = {key: self.constant(f"{name}.{key}", value[:, None, None]) for key, value in per_channel.items()}
        slope = self.node("Mul", f"{name}.slope", x.name, names["v"])
        if numbers.var is not None:
            batch = self.constant(f"{name}.batch", np.sqrt(numbers.var + numbers.eps)[:, None, None])
            instance = self._deviation(f"{name}.instance", x.name, numbers.eps)
            above = x.name
            below = self.node("Max", f"{name}.below", batch, self.node("Add", f"{name}.sum", slope, instance))
        else:
            grouped = self._reshape(f"{name}.groups", x.name, (numbers.groups, -1, width))
            deviation = self._deviation(f"{name}.group", grouped, numbers.eps)
            gated = self.node("Mul", f"{name}.gated", x.name, self.node("Sigmoid", f"{name}.sigmoid", slope))
            above, below = self._reshape(f"{name}.gated.groups", gated, (numbers.groups, -1, width)), deviation
        ratio = self.node("Div", f"{name}.ratio", above, below)
        if numbers.var is None:
            ratio = self._reshape(f"{name}.map", ratio, (channels, height, width))
        scaled = self.node("Mul", f"{name}.scaled", ratio, names["scale"])
        return Value(self.node("Add", name, scaled, names["bias"]), x.shape)

    def _deviation(self, name: str, x: str, eps: float) -> str:
        """Add sqrt(variance + eps) over the last two axes of x [N, C, H, W]."""
        apart = self.node("Sub", f"{name}.apart", x, self.node("GlobalAveragePool", f"{name}.mean", x))
        squares = self.node("Mul", f"{name}.squares", apart, apart)
        variance = self.node("GlobalAveragePool", f"{name}.variance", squares)
        return self.node("Sqrt", name, self.node("Add", f"{name}.plus", variance, self.constant(f"{name}.eps", eps)))

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a split of the channels or of a side."""
        outputs = [f"{name}.{i}" for i in range(len(widths))]
        sizes = self.constant(f"{name}.widths", np.array(widths, np.int64))
        self._nodes.append(helper.make_node("Split", [x.name, sizes], outputs, name, axis=AXES[axis]))
        return [Value(o, x.shape._replace(**{axis: w})) for o, w in zip(outputs, widths, strict=True)]

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation of channels or along a side."""
        joined = self.node("Concat", name, *(part.name for part in parts), axis=AXES[axis])
        return Value(joined, parts[0].shape._replace(**{axis: sum(getattr(part.shape, axis) for part in parts)}))

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention: the queries of all heads are the rows of one matrix product."""
        height, width, _ = query.shape
        size, depth, positions = key.shape.channels, value.shape.channels, height * width
        heads = query.shape.channels // size
        queries = self._transposed(f"{name}.query", query.name, (heads, size, positions), (heads * positions, size))
        keys = self._reshape(f"{name}.key.flat", key.name, (size, key.shape.height * key.shape.width))
        values = self._reshape(f"{name}.value.flat", value.name, (depth, value.shape.height * value.shape.width))
        values = self.node("Transpose", f"{name}.value.turned", values, perm=[0, 2, 1])
        weights = self.node("Softmax", f"{name}.softmax", self.node("MatMul", f"{name}.scores", queries, keys), axis=-1)
        mixed = self.node("MatMul", f"{name}.mix", weights, values)
        whole = self._transposed(f"{name}.mixed", mixed, (heads, positions, depth), (heads * depth, height, width))
        return Value(whole, query.shape._replace(channels=heads * depth))

    def _transposed(self, name: str, x: str, sizes: tuple[int, ...], result: tuple[int, ...]) -> str:
        """Add a view with three `sizes` behind the batch, its last two axes exchanged, reshaped to `result`."""
        split = self._reshape(f"{name}.heads", x, sizes)
        return self._reshape(
            f"{name}.joined", self.node("Transpose", f"{name}.turned", split, perm=[0, 1, 3, 2]), result
        )

    def _reshape(self, name: str, x: str, sizes: Sequence[int]) -> str:
        """Add a view with `sizes` behind the batch."""
        return self.node("Reshape", name, x, self.constant(f"{name}.sizes", np.array([0, *sizes], np.int64)))

    def model(self, last: Value, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Return the model whose logits are `last`."""
        height, width, channels = self._arch.input_shape
        sizes = (height, width, channels) if self._of_pixels else (channels, height, width)
        kind = TensorProto.UINT8 if self._of_pixels else TensorProto.FLOAT
        images = helper.make_tensor_value_info(INPUT, kind, ["N", *sizes])
        logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", last.shape.channels])
        self.node("Flatten", OUTPUT, last.name)
        graph = helper.make_graph(self._nodes, "network", [images], [logits], list(self._constants.values()))
        opsets = [helper.make_opsetid("", opset_for(self._nodes, self._opset))]
        oldest_ir = helper.find_min_ir_version_for(opsets)  # so that runtimes of the opset's time read the file
        model = helper.make_model(graph, opset_imports=opsets, ir_version=oldest_ir, producer_name="nas-engine")
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return model


def opset_for(nodes: Iterable[onnx.NodeProto], opset: int | None) -> int:
    """Return the opset of a file: `opset`, or the lowest usual one with all operators of `nodes`.

    `InvalidInput` where an operator does not exist yet in `opset`, or where the package onnx does not know `opset`.
    """
    firsts = {node.op_type: FIRST_OPSET.get(node.op_type, FIRST_OF_OTHERS) for node in nodes}
    kind, lowest = max(firsts.items(), key=lambda item: item[1])
    newest = onnx.defs.onnx_opset_version()
    if opset is None:
        return max(USUAL_OPSET, lowest)
    if opset < lowest:
        raise InvalidInput(f"the network's operator {kind} needs ONNX opset {lowest} or a later one, got {opset}")
    if opset > newest:
        raise InvalidInput(f"the installed onnx {onnx.__version__} knows opsets up to {newest}, got {opset}")
    return opset


def file_bytes(model: onnx.ModelProto) -> bytes:
    """Return the model as the bytes of a file, the same ones every time; raises where it breaks the standard."""
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _node_of_kind(kind: str, **attributes: Any) -> Callable[[OnnxGraph, str, str], str]:
    return lambda graph, x, name: graph.node(kind, name, x, **attributes)


def _relu6(graph: OnnxGraph, x: str, name: str) -> str:
    return graph.node("Clip", name, x, graph.constant("zero", 0.0), graph.constant("six", 6.0))


def _swish(graph: OnnxGraph, x: str, name: str) -> str:
    return graph.node("Mul", name, x, graph.node("Sigmoid", f"{name}.sigmoid", x))


def _hard_swish(graph: OnnxGraph, x: str, name: str) -> str:
    if graph.has("HardSwish"):
        return graph.node("HardSwish", name, x)
    return graph.node("Mul", name, x, GATES["hard_sigmoid"](graph, x, f"{name}.gate"))


def _gelu(graph: OnnxGraph, x: str, name: str) -> str:
    """Add the exact GELU, x / 2 * (1 + erf(x / sqrt(2))), arXiv 1606.08415; in one node where the opset has it."""
    if graph.has("Gelu"):
        return graph.node("Gelu", name, x)
    scaled = graph.node("Mul", f"{name}.scaled", x, graph.constant("root_half", math.sqrt(0.5)))
    erf = graph.node("Erf", f"{name}.erf", scaled)
    share = graph.node("Add", f"{name}.share", erf, graph.constant("one", 1.0))
    half = graph.node("Mul", f"{name}.half", x, graph.constant("half", 0.5))
    return graph.node("Mul", name, half, share)


ACTS: dict[Act, Callable[[OnnxGraph, str, str], str]] = {
    "none": lambda graph, x, name: x,
    "relu": _node_of_kind("Relu"),
    "relu6": _relu6,
    "hswish": _hard_swish,
    "gelu": _gelu,
    "swish": _swish,
}  # graph, input, name of the node -> output
GATES: dict[Gate, Callable[[OnnxGraph, str, str], str]] = {
    "hard_sigmoid": _node_of_kind("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sigmoid": _node_of_kind("Sigmoid"),
}
