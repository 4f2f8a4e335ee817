"""A network as an ONNX graph, NCHW, batch left open: https://onnx.ai/onnx/operators."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nas.arch import ArchSpec
from nas.export.lowering import Array, Tensors, Value, lower, pads
from nas.ops import Act, Gate, Shape

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the one of opset 20, so that runtimes of its time read the file
INPUT, OUTPUT = "pictures", "logits"


def onnx_model(arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return the model of `arch`: images [N, C, H, W] -> logits [N, classes], float32; see `lowering.lower`."""
    graph = OnnxGraph(arch)
    return graph.model(lower(arch, tensors, graph), metadata)


class OnnxGraph:
    """The nodes and constants of one network while it is put together: a `lowering.Writer`."""

    def __init__(self, arch: ArchSpec) -> None:
        self._arch = arch
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values: Any) -> str:
        """Put numbers into the file, float32 unless they are whole numbers, and return their name."""
        array = np.asarray(values)
        kept = array if array.dtype == np.int64 else array.astype(np.float32)
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(kept), name)
        return name

    def node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name, and return that name."""
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def input(self, shape: Shape) -> Value:
        """Return the images."""
        return Value(INPUT, shape)

    def conv(self, name: str, at: Value, weight: Array, bias: Array | None, *, stride: int, act: Act) -> Value:
        """Add a dense convolution with its activation."""
        return self._conv(name, at, weight.transpose(3, 2, 0, 1), bias, act=act, stride=stride, groups=1)

    def depthwise(self, name: str, at: Value, weight: Array, bias: Array, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution with its activation."""
        filters = weight.transpose(2, 0, 1)[:, None]
        return self._conv(name, at, filters, bias, act=act, stride=stride, groups=at.shape.channels)

    def _conv(
        self, name: str, at: Value, weight: Array, bias: Array | None, *, act: Act, stride: int, groups: int
    ) -> Value:
        """Add a convolution with weight [out, in / groups, k, k]."""
        out, _, kernel, _ = weight.shape
        inputs = [at.name, self.constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        zeros = [pads(size, kernel, stride, self._arch.padding) for size in at.shape[:2]]
        before, after = zip(*zeros, strict=True)
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [*before, *after], "group": groups}
        done = self.node("Conv", name, *inputs, **attributes)
        return Value(ACTS[act](self, done, f"{name}.{act}"), at.shape.strided(stride, out))

    def affine(self, name: str, at: Value, factor: Array, bias: Array) -> Value:
        """Add a multiplication and an addition per channel, as the one node that does both."""
        numbers = {"scale": factor, "bias": bias, "mean": np.zeros_like(bias), "var": np.ones_like(bias)}
        inputs = [self.constant(f"{name}.{key}", values) for key, values in numbers.items()]
        return Value(self.node("BatchNormalization", name, at.name, *inputs, epsilon=0.0), at.shape)

    def pool(self, name: str, at: Value) -> Value:
        """Add the mean over all positions."""
        return Value(self.node("GlobalAveragePool", name, at.name), Shape(1, 1, at.shape.channels))

    def flatten(self, name: str, at: Value) -> Value:
        """Return the 1 x 1 map as it is: its layers are convolutions here, and the logits are made flat at the end."""
        return at

    def dense(self, name: str, at: Value, weight: Array, bias: Array, *, act: Act) -> Value:
        """Add a fully connected layer with its activation, as a 1 x 1 convolution of a 1 x 1 map.

        ONNX Runtime packs the weights of a convolution for the processor and is faster with them than with Gemm: all of
        Conv-S takes 3 % less time for it, one image on one thread (experiments/benchmarks/export_speed.py).
        """
        return self._conv(name, at, weight.T[:, :, None, None], bias, act=act, stride=1, groups=1)

    def gate(self, name: str, at: Value, gate: Gate) -> Value:
        """Add a gate's function."""
        return Value(GATES[gate](self, at.name, name), at.shape)

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        return Value(self.node("Add", name, left.name, right.name), left.shape)

    def multiply(self, name: str, at: Value, gate: Value) -> Value:
        """Add the product of a map and a 1 x 1 map."""
        return Value(self.node("Mul", name, at.name, gate.name), at.shape)

    def split(self, name: str, at: Value, widths: Sequence[int]) -> list[Value]:
        """Add a split of the channels."""
        outputs = [f"{name}.{i}" for i in range(len(widths))]
        sizes = self.constant(f"{name}.widths", np.array(widths, np.int64))
        self._nodes.append(helper.make_node("Split", [at.name, sizes], outputs, name, axis=1))
        return [Value(o, at.shape._replace(channels=w)) for o, w in zip(outputs, widths, strict=True)]

    def concat(self, name: str, parts: Sequence[Value]) -> Value:
        """Add a concatenation of channels."""
        joined = self.node("Concat", name, *(part.name for part in parts), axis=1)
        return Value(joined, parts[0].shape._replace(channels=sum(part.shape.channels for part in parts)))

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention: the queries of all heads are the rows of one matrix product."""
        height, width, _ = query.shape
        size, depth, positions = key.shape.channels, value.shape.channels, height * width
        heads = query.shape.channels // size
        queries = self._turned(f"{name}.query", query.name, (heads, size, positions), (heads * positions, size))
        keys = self._reshape(f"{name}.key.flat", key.name, (size, key.shape.height * key.shape.width))
        values = self._reshape(f"{name}.value.flat", value.name, (depth, value.shape.height * value.shape.width))
        values = self.node("Transpose", f"{name}.value.turned", values, perm=[0, 2, 1])
        weights = self.node("Softmax", f"{name}.softmax", self.node("MatMul", f"{name}.scores", queries, keys), axis=-1)
        mixed = self.node("MatMul", f"{name}.mix", weights, values)
        whole = self._turned(f"{name}.mixed", mixed, (heads, positions, depth), (heads * depth, height, width))
        return Value(whole, query.shape._replace(channels=heads * depth))

    def _turned(self, name: str, at: str, sizes: tuple[int, ...], result: tuple[int, ...]) -> str:
        """Add a view with three `sizes` behind the batch, the last two exchanged, as `result`."""
        split = self._reshape(f"{name}.heads", at, sizes)
        return self._reshape(
            f"{name}.joined", self.node("Transpose", f"{name}.turned", split, perm=[0, 1, 3, 2]), result
        )

    def _reshape(self, name: str, at: str, sizes: Sequence[int]) -> str:
        """Add a view with `sizes` behind the batch."""
        return self.node("Reshape", name, at, self.constant(f"{name}.sizes", np.array([0, *sizes], np.int64)))

    def model(self, last: Value, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Return the file's content, whose logits are `last`."""
        height, width, channels = self._arch.input_shape
        images = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", channels, height, width])
        logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", last.shape.channels])
        self.node("Flatten", OUTPUT, last.name)
        graph = helper.make_graph(self._nodes, "network", [images], [logits], list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="nas-engine")
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return model


def _of_kind(kind: str, **attributes: Any) -> Callable[[OnnxGraph, str, str], str]:
    return lambda graph, at, name: graph.node(kind, name, at, **attributes)


def _relu6(graph: OnnxGraph, at: str, name: str) -> str:
    return graph.node("Clip", name, at, graph.constant("zero", 0.0), graph.constant("six", 6.0))


def _swish(graph: OnnxGraph, at: str, name: str) -> str:
    return graph.node("Mul", name, at, graph.node("Sigmoid", f"{name}.sigmoid", at))


ACTS: dict[Act, Callable[[OnnxGraph, str, str], str]] = {
    "none": lambda graph, at, name: at,
    "relu": _of_kind("Relu"),
    "relu6": _relu6,
    "hswish": _of_kind("HardSwish"),
    "gelu": _of_kind("Gelu"),
    "swish": _swish,
}  # graph, input, name of the node -> output
GATES: dict[Gate, Callable[[OnnxGraph, str, str], str]] = {
    "hard_sigmoid": _of_kind("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sigmoid": _of_kind("Sigmoid"),
}
