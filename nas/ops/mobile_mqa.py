"""Mobile multi-query attention (MobileNetV4, arXiv 2404.10518, Eq. 2)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Op, with_layer_scale
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, conv, depthwise, elementwise, holding, with_residual


@dataclass(frozen=True)
class MobileMQA(Op):
    """Mobile multi-query attention with one key and one value head (MobileNetV4, Eq. 2).

    Keys and values come from the normalised input, where `kv_stride` is 2 each from a strided 3x3 depthwise of its own.
    """

    tag: ClassVar[str] = "mobile_mqa"
    heads: int = fields.count()
    key_dim: int = fields.channels()
    value_dim: int = fields.channels()
    kv_stride: int = fields.stride(1)
    residual: bool = fields.flag(True)
    layer_scale: bool = fields.flag(True)

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels: norm, query, keys, values, attention, output."""
        channels, heads, positions = shape.channels, self.heads, shape.height * shape.width
        query = conv("query", shape, heads * self.key_dim, 1, 1, norm=False)
        keys, values = self.shared_head("key", shape, self.key_dim), self.shared_head("value", shape, self.value_dim)
        key, value = keys[-1].out_shape, values[-1].out_shape
        scores = Shape(positions, key.height * key.width, heads)
        mixed = Shape(shape.height, shape.width, heads * self.value_dim)
        macs = scores.elements * self.key_dim, scores.elements * self.value_dim
        # Attention: scores [positions, keys] per head, their softmax, and the mix of values. What a later kernel still
        # needs is held: the values until they are mixed, here and below.
        attend = [
            Kernel("scores", "matmul", query.out_shape, scores, macs[0],
                   reads=query.out_shape.elements + key.elements, writes=scores.elements, held=value.elements),
            replace(elementwise("softmax", scores, scores.elements), held=value.elements),
            Kernel("mix", "matmul", scores, mixed, macs[1],
                   reads=scores.elements + value.elements, writes=mixed.elements),
        ]  # fmt: skip
        # With a stride, the values read the normalised input after the keys are computed, so it is held until then.
        if len(keys) > 1:
            keys[-1] = replace(keys[-1], held=shape.elements)
        body = [
            elementwise("norm", shape, shape.elements, params=2 * channels),
            query,
            *holding(keys, query.out_shape.elements),
            *holding(values, query.out_shape.elements + key.elements),
            *attend,
            with_layer_scale(conv("output", mixed, channels, 1, 1, norm=False), self.layer_scale),
        ]
        return with_residual(body, shape) if self.residual else body

    def shared_head(self, name: str, shape: Shape, width: int) -> list[Kernel]:
        """Return the kernels of the projection to the key or value head, after a depthwise for a stride above 1."""
        if self.kv_stride == 1:
            return [conv(name, shape, width, 1, 1, norm=False)]
        down = depthwise(f"{name}_dw", shape, 3, self.kv_stride)
        return [down, conv(name, down.out_shape, width, 1, 1, norm=False)]

    def describe(self, shape: Shape) -> str:
        sizes = f"key {self.key_dim}, value {self.value_dim}, kv stride {self.kv_stride}"
        return f"{self.label}, {self.heads} heads, {sizes}"

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        channels = x.shape.channels
        normed = graph.writer.affine(f"{name}.norm", x, *graph.folded_norm(f"{name}.norm", channels))
        query = graph.linear(normed, f"{name}.query", self.heads * self.key_dim, factor=self.key_dim**-0.5)
        key = graph.linear(self._downsampled(graph, normed, f"{name}.key_dw"), f"{name}.key", self.key_dim)
        value = graph.linear(self._downsampled(graph, normed, f"{name}.value_dw"), f"{name}.value", self.value_dim)
        mixed = graph.writer.attention(name, query, key, value)
        return graph.linear(mixed, f"{name}.output", channels, layer_scale=self.layer_scale)

    def _downsampled(self, graph: Lowering, x: Value, name: str) -> Value:
        """Add the depthwise convolution in front of keys and values, where their stride is above 1."""
        return graph.depthwise(x, name, 3, self.kv_stride) if self.kv_stride > 1 else x


@dataclass(frozen=True)
class MobileMQAChoices(Choices):
    """The options of a mobile MQA block: heads, their size in channels (keys and values alike), and `kv_stride`.

    MobileNetV4 places 4 heads of 64 at stride 2 on maps of 16x16 px and 4 of 64 at stride 1 on 8x8 (hybrid-M, at 256
    px), 8 of 48 and 8 of 64 in hybrid-L; layer scale on every block. The defaults contain these and smaller ones.
    """

    heads: tuple[int, ...] = (4, 8)
    key_dims: tuple[int, ...] = (32, 48, 64)
    kv_strides: tuple[int, ...] = (1, 2)

    @property
    def tag(self) -> str:
        return MobileMQA.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return Choice("heads", self.heads), Choice("key_dim", self.key_dims), Choice("kv_stride", self.kv_strides)

    def build(self, values: Values, site: Site) -> Op:
        return MobileMQA(
            heads=values["heads"],
            key_dim=values["key_dim"],
            value_dim=values["key_dim"],
            kv_stride=values["kv_stride"],
            residual=site.residual,
        )
