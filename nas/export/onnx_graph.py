"""An `ArchSpec` as an ONNX graph, NCHW, batch left open: the tensors and layers that nas.export.onnx_ops puts together.

Format: https://onnx.ai/onnx/operators. Normalisation and layer scale are folded into the convolution in front of them,
as every runtime would do. The numbers come from a function of name and shape, so a graph needs no jax and no network.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas.arch import ArchSpec
from nas.ops import Act, Gate, Shape

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the one of opset 20, so that runtimes of its time read the file
INPUT, OUTPUT = "pictures", "logits"
Tensors = Callable[[str, tuple[int, ...]], NDArray[Any]]  # name as in nas.nn.network, shape -> float32


class Value(NamedTuple):
    """The name of a tensor in the graph, and its shape without the batch."""

    name: str
    shape: Shape


class Graph:
    """The nodes and constants of one network while it is put together; `tensors` gives weights and statistics."""

    def __init__(self, arch: ArchSpec, tensors: Tensors) -> None:
        self.arch, self._tensors = arch, tensors
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def tensor(self, name: str, *shape: int) -> NDArray[np.float64]:
        """Return a weight or statistic of the network, in double precision for folding."""
        return np.asarray(self._tensors(name, shape), np.float64)

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

    def split(self, at: Value, name: str, widths: Sequence[int]) -> list[Value]:
        """Return the shares of the channels, of so many each."""
        outputs = [f"{name}.{i}" for i in range(len(widths))]
        sizes = self.constant(f"{name}.widths", np.array(widths, np.int64))
        self._nodes.append(helper.make_node("Split", [at.name, sizes], outputs, name, axis=1))
        return [Value(o, at.shape._replace(channels=w)) for o, w in zip(outputs, widths, strict=True)]

    def reshape(self, at: str, name: str, sizes: Sequence[int]) -> str:
        """Return the tensor with `sizes` behind the batch."""
        return self.node("Reshape", name, at, self.constant(f"{name}.sizes", np.array([0, *sizes], np.int64)))

    def model(self, last: str) -> onnx.ModelProto:
        """Return the file's content: from pictures [N, C, H, W] to the logits [N, classes] that `last` is."""
        height, width, channels = self.arch.input_shape
        pictures = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", channels, height, width])
        logits = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", self.arch.num_classes])
        self.node("Identity", OUTPUT, last)
        graph = helper.make_graph(self._nodes, "network", [pictures], [logits], list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="nas-engine")


# -------------------------------------------------------------------------------------------------------- activations


def _of_kind(kind: str, **attributes: Any) -> Callable[[Graph, str, str], str]:
    return lambda graph, at, name: graph.node(kind, name, at, **attributes)


def _relu6(graph: Graph, at: str, name: str) -> str:
    return graph.node("Clip", name, at, graph.constant("zero", np.float32(0)), graph.constant("six", np.float32(6)))


def _swish(graph: Graph, at: str, name: str) -> str:
    return graph.node("Mul", name, at, graph.node("Sigmoid", f"{name}.sigmoid", at))


ACTS: dict[Act, Callable[[Graph, str, str], str]] = {
    "none": lambda graph, at, name: at,
    "relu": _of_kind("Relu"),
    "relu6": _relu6,
    "hswish": _of_kind("HardSwish"),
    "gelu": _of_kind("Gelu"),
    "swish": _swish,
}  # graph, input, name of the node -> output
GATES: dict[Gate, Callable[[Graph, str, str], str]] = {
    "hard_sigmoid": _of_kind("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sigmoid": _of_kind("Sigmoid"),
}


# -------------------------------------------------------------------------------------------------------------- layers


def convolution(
    graph: Graph, at: Value, name: str, out: int, *, kernel: int = 1, stride: int = 1, act: Act = "none",
    layer_scale: bool = False,
) -> Value:  # fmt: skip
    """Return a dense k x k convolution with its normalisation, activation and layer scale."""
    factor, bias = folded_norm(graph, name, out, layer_scale=layer_scale)
    window = () if kernel == 1 else (kernel, kernel)
    weight = graph.tensor(f"{name}.weight", *window, at.shape.channels, out) * factor
    square = weight.reshape(kernel, kernel, at.shape.channels, out).transpose(3, 2, 0, 1)
    done = _conv(graph, at, name, square, bias, stride=stride)
    return done._replace(name=ACTS[act](graph, done.name, f"{name}.{act}"))


def depthwise(graph: Graph, at: Value, name: str, kernel: int, stride: int, *, act: Act = "none") -> Value:
    """Return a depthwise convolution with its normalisation and activation."""
    channels = at.shape.channels
    factor, bias = folded_norm(graph, name, channels)
    weight = graph.tensor(f"{name}.weight", kernel, kernel, channels) * factor
    done = _conv(graph, at, name, weight.transpose(2, 0, 1)[:, None], bias, stride=stride, groups=channels)
    return done._replace(name=ACTS[act](graph, done.name, f"{name}.{act}"))


def linear(
    graph: Graph, at: Value, name: str, out: int, *, bias: bool = False, layer_scale: bool = False, times: float = 1.0
) -> Value:
    """Return a 1x1 convolution without normalisation, its output multiplied by `times`."""
    factor = graph.tensor(f"{name}.gamma", out) if layer_scale else np.ones(out)
    weight = graph.tensor(f"{name}.weight", at.shape.channels, out) * factor * times
    shift = graph.tensor(f"{name}.bias", out) * factor * times if bias else None
    return _conv(graph, at, name, weight.T[:, :, None, None], shift)


def dense(graph: Graph, at: str, name: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    """Return [N, in] times `weight` [in, out], plus `bias` [out]."""
    return graph.node("Gemm", name, at, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias))


def norm(graph: Graph, at: Value, name: str) -> Value:
    """Return the map normalised by itself: no convolution stands in front that could take it."""
    factor, bias = folded_norm(graph, name, at.shape.channels)
    zero, one = np.zeros_like(bias), np.ones_like(bias)
    numbers = {"scale": factor, "bias": bias, "mean": zero, "var": one}
    inputs = [graph.constant(f"{name}.{key}", values) for key, values in numbers.items()]
    return at._replace(name=graph.node("BatchNormalization", name, at.name, *inputs, epsilon=0.0))


def pool(graph: Graph, at: Value, name: str) -> Value:
    """Return the mean over all positions."""
    return Value(graph.node("GlobalAveragePool", name, at.name), Shape(1, 1, at.shape.channels))


def folded_norm(
    graph: Graph, name: str, channels: int, *, layer_scale: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (factor, bias) [channels] each: what a normalisation with stored statistics does, then a layer scale."""
    scale, bias, mean, var = (graph.tensor(f"{name}.{key}", channels) for key in ("scale", "bias", "mean", "var"))
    factor = scale / np.sqrt(var + graph.arch.norm_eps)
    gamma = graph.tensor(f"{name}.gamma", channels) if layer_scale else np.ones(channels)
    return factor * gamma, (bias - mean * factor) * gamma


def _conv(
    graph: Graph, at: Value, name: str, weight: NDArray[Any], bias: NDArray[Any] | None, *, stride: int = 1,
    groups: int = 1,
) -> Value:  # fmt: skip
    """Return the convolution with `weight` [out, in / groups, k, k] and `bias` [out]."""
    out, _, kernel, _ = weight.shape
    inputs = [at.name, graph.constant(f"{name}.weight", weight)]
    if bias is not None:
        inputs.append(graph.constant(f"{name}.bias", bias))
    pads = [_pads(size, kernel, stride, graph.arch.padding) for size in at.shape[:2]]
    before, after = zip(*pads, strict=True)
    attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [*before, *after], "group": groups}
    return Value(graph.node("Conv", name, *inputs, **attributes), at.shape.strided(stride, out))


def _pads(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Return the zeros before and after one axis of `size` elements."""
    if padding == "symmetric":
        return (kernel - 1) // 2, (kernel - 1) // 2
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
