"""One function per op: what it is as ONNX nodes, named as the op's kernels. A new op is one function and one line."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx

from nas import ops
from nas.arch import ArchSpec
from nas.export.onnx_graph import (
    ACTS,
    GATES,
    INPUT,
    Graph,
    Tensors,
    Value,
    convolution,
    dense,
    depthwise,
    folded_norm,
    linear,
    norm,
    pool,
)
from nas.kernels import shares
from nas.ops import Op

Layer = Callable[..., Value]  # at, name -> output


def lower(arch: ArchSpec, tensors: Tensors) -> onnx.ModelProto:
    """Return the ONNX model of `arch`: pictures [N, C, H, W] -> logits [N, classes], float32.

    `tensors` gives every weight and stored statistic by name and shape, in the layouts of nas.nn.layers.
    """
    graph = Graph(arch, tensors)
    at = Value(INPUT, arch.input_shape)
    for position, op, shape in arch.walk():
        out = LOWERINGS[type(op)](graph, op, at, position)
        if getattr(op, "residual", False):
            out = out._replace(name=graph.node("Add", f"{position}.add", out.name, at.name))
        assert (at.shape, out.shape) == (shape, op.out_shape(shape))
        at = out
    return graph.model(_head(graph, arch.head, at))


def _conv(graph: Graph, op: ops.Conv, at: Value, name: str) -> Value:
    return convolution(graph, at, f"{name}.conv", op.out_channels, kernel=op.kernel, stride=op.stride, act=op.act)


def _fused_ib(graph: Graph, op: ops.FusedIB, at: Value, name: str) -> Value:
    wide = convolution(
        graph, at, f"{name}.expand", op.expanded_channels, kernel=op.kernel, stride=op.stride, act=op.act
    )
    return convolution(graph, wide, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _uib(graph: Graph, op: ops.UIB, at: Value, name: str) -> Value:
    if op.start_dw:
        at = depthwise(graph, at, f"{name}.start_dw", op.start_dw, op.start_stride)
    at = convolution(graph, at, f"{name}.expand", op.expanded_channels, act=op.act)
    if op.middle_dw:
        at = depthwise(graph, at, f"{name}.middle_dw", op.middle_dw, op.stride, act=op.act)
    return convolution(graph, at, f"{name}.project", op.out_channels, layer_scale=op.layer_scale)


def _separable_conv(graph: Graph, op: ops.SeparableConv, at: Value, name: str) -> Value:
    at = depthwise(graph, at, f"{name}.depthwise", op.kernel, op.stride, act=op.act)
    return convolution(graph, at, f"{name}.pointwise", op.out_channels, act=op.act)


def _inverted_residual(graph: Graph, op: ops.InvertedResidual, at: Value, name: str) -> Value:
    if op.expanded_channels:
        at = convolution(graph, at, f"{name}.expand", op.expanded_channels, act=op.act)
    at = depthwise(graph, at, f"{name}.depthwise", op.kernel, op.stride, act=op.act)
    at = _squeeze_excite(graph, op, at, name)
    return convolution(graph, at, f"{name}.project", op.out_channels)


def _mixconv(graph: Graph, op: ops.MixConv, at: Value, name: str) -> Value:
    expand = _grouped(graph, op.expanded_channels, op.expand_groups, act=op.act)
    filters = [partial(depthwise, graph, kernel=kernel, stride=op.stride, act=op.act) for kernel in op.kernel_sizes]
    at = _in_parts(graph, at, f"{name}.expand", expand)
    at = _in_parts(graph, at, f"{name}.depthwise", filters)
    at = _squeeze_excite(graph, op, at, name)
    return _in_parts(graph, at, f"{name}.project", _grouped(graph, op.out_channels, op.project_groups))


def _grouped(graph: Graph, out: int, groups: int, **settings: Any) -> list[Layer]:
    """Return the parts of a 1x1 convolution."""
    return [partial(convolution, graph, out=width, **settings) for width in shares(out, groups)]


def _in_parts(graph: Graph, at: Value, name: str, layers: Sequence[Layer]) -> Value:
    """Return what one layer gives, or several side by side, each from its share of the channels."""
    if len(layers) == 1:
        return layers[0](at=at, name=name)
    pieces = graph.split(at, f"{name}.split", shares(at.shape.channels, len(layers)))
    done = [layer(at=piece, name=f"{name}.{i}") for i, (layer, piece) in enumerate(zip(layers, pieces, strict=True))]
    joined = graph.node("Concat", f"{name}.concat", *(one.name for one in done), axis=1)
    return Value(joined, done[0].shape._replace(channels=sum(one.shape.channels for one in done)))


def _squeeze_excite(graph: Graph, op: ops.InvertedResidual | ops.MixConv, at: Value, name: str) -> Value:
    """Return the map times its gate, or as it is where the op has none."""
    if not op.se_channels:
        return at
    small = linear(graph, pool(graph, at, f"{name}.se_pool"), f"{name}.se_reduce", op.se_channels, bias=True)
    small = small._replace(name=ACTS[op.se_act](graph, small.name, f"{name}.se_reduce.{op.se_act}"))
    wide = linear(graph, small, f"{name}.se_expand", at.shape.channels, bias=True)
    gate = GATES[op.se_gate](graph, wide.name, f"{name}.se_expand.{op.se_gate}")
    return at._replace(name=graph.node("Mul", f"{name}.se_scale", at.name, gate))


def _mobile_mqa(graph: Graph, op: ops.MobileMQA, at: Value, name: str) -> Value:
    """All heads share keys and values, so that their queries are the rows of one matrix product."""
    height, width, channels = at.shape
    rows = op.heads * height * width
    normed = norm(graph, at, f"{name}.norm")
    query = linear(graph, normed, f"{name}.query", op.heads * op.key_dim, times=op.key_dim**-0.5)
    split = graph.reshape(query.name, f"{name}.query.heads", (op.heads, op.key_dim, height * width))
    turned = graph.node("Transpose", f"{name}.query.turned", split, perm=[0, 1, 3, 2])
    queries = graph.reshape(turned, f"{name}.query.rows", (rows, op.key_dim))
    scores = graph.node("MatMul", f"{name}.scores", queries, _shared_head(graph, op, normed, f"{name}.key"))
    attention = graph.node("Softmax", f"{name}.softmax", scores, axis=-1)
    values = graph.node("Transpose", f"{name}.value.turned", _shared_head(graph, op, normed, f"{name}.value"),
                        perm=[0, 2, 1])  # fmt: skip
    mixed = graph.node("MatMul", f"{name}.mix", attention, values)
    heads = graph.reshape(mixed, f"{name}.mix.heads", (op.heads, height * width, op.value_dim))
    back = graph.node("Transpose", f"{name}.mix.turned", heads, perm=[0, 1, 3, 2])
    whole = graph.reshape(back, f"{name}.mix.map", (op.heads * op.value_dim, height, width))
    deep = Value(whole, at.shape._replace(channels=op.heads * op.value_dim))
    return linear(graph, deep, f"{name}.output", channels, layer_scale=op.layer_scale)


def _shared_head(graph: Graph, op: ops.MobileMQA, normed: Value, name: str) -> str:
    """Return keys or values as [N, dim, positions]; `name` ends in which."""
    size = op.key_dim if name.endswith("key") else op.value_dim
    at = depthwise(graph, normed, f"{name}_dw", 3, op.kv_stride) if op.kv_stride > 1 else normed
    one = linear(graph, at, name, size)
    return graph.reshape(one.name, f"{name}.flat", (size, one.shape.height * one.shape.width))


def _head(graph: Graph, head: ops.Head, at: Value) -> str:
    features = at.shape.channels
    flat = graph.node("Flatten", "head.flat", pool(graph, at, "head.pool").name)
    if head.hidden:
        weight = graph.tensor("head.hidden.weight", features, head.hidden)
        factor, bias = np.ones(head.hidden), None
        if head.hidden_norm:
            factor, bias = folded_norm(graph, "head.hidden", head.hidden)
        else:
            bias = graph.tensor("head.hidden.bias", head.hidden)
        flat = dense(graph, flat, "head.hidden", weight * factor, bias)
        flat = ACTS[head.act](graph, flat, f"head.hidden.{head.act}")
        features = head.hidden
    classes = graph.arch.num_classes
    weight, bias = (
        graph.tensor("head.classifier.weight", features, classes),
        graph.tensor("head.classifier.bias", classes),
    )
    return dense(graph, flat, "head.classifier", weight, bias)


LOWERINGS: dict[type[Op], Callable[[Graph, Any, Value, str], Value]] = {
    ops.Conv: _conv,
    ops.FusedIB: _fused_ib,
    ops.UIB: _uib,
    ops.SeparableConv: _separable_conv,
    ops.InvertedResidual: _inverted_residual,
    ops.MixConv: _mixconv,
    ops.MobileMQA: _mobile_mqa,
}  # graph, op, input, name of the op -> output; a residual is added behind it
