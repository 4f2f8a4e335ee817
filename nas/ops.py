"""What an architecture is made of: ops that a designer names, and the kernels they lower to, which carry all cost.

An op is a frozen value with absolute channel counts. `op.lower(shape)` returns the kernels it runs on an input of that
shape, each with resolved sizes; `op.out_shape(shape)` its output. Nothing else in the engine knows what an op costs.
Blocks: MobileNetV4, arXiv 2404.10518, section 4; MobileNetV1 1704.04861; V2 1801.04381; V3 1905.02244; MnasNet
1807.11626; EfficientNet 1905.11946; MixNet 1907.09595.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Literal, get_args

from nas.errors import InvalidInput
from nas.kernels import (
    KINDS,
    Kernel,
    Kind,
    Shape,
    conv,
    dense,
    depthwise,
    elementwise,
    holding,
    make_divisible,
    parts,
    pool,
    shares,
    with_residual,
)

__all__ = ["KINDS", "Kernel", "Kind", "Shape", "make_divisible"]  # of nas.kernels, for who needs both

Act = Literal["none", "relu", "relu6", "hswish", "gelu", "swish"]
Gate = Literal["hard_sigmoid", "sigmoid"]


@dataclass(frozen=True)
class Op:
    """Base of all ops. `tag` is the op's name in JSON.

    `later` names the fields that came after the first release: at their default they are absent from JSON, so that the
    digest of an older spec stays what it was.
    """

    tag: ClassVar[str]
    later: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for field in fields(self):
            value, minimum = getattr(self, field.name), int(field.name not in _MAY_BE_ZERO)
            if isinstance(value, int) and not isinstance(value, bool) and value < minimum:
                raise InvalidInput(f"{self.tag}.{field.name} must be at least {minimum}, got {value}")
            if field.name in _ODD and value and value % 2 == 0:
                raise InvalidInput(f"{self.tag}.{field.name} must be odd, got {value}")
            allowed = get_args(_CHOICES.get(field.name))
            if allowed and value not in allowed:
                raise InvalidInput(f"{self.tag}.{field.name} must be one of {', '.join(allowed)}, got '{value}'")
        self.check()

    def check(self) -> None:
        """Raise `InvalidInput` where fields contradict each other."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        unsaid = {f.name for f in fields(self) if f.name in self.later and getattr(self, f.name) == f.default}
        values = {key: value for key, value in asdict(self).items() if key not in unsaid}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def out_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`."""
        raise TypeError(f"{type(self).__name__} has no map as output")

    def kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels without checks; see `lower`."""
        raise TypeError(f"{type(self).__name__} is no op of its own")

    def lower(self, shape: Shape) -> list[Kernel]:
        """Return the kernels that run this op on an input of `shape`; `InvalidInput` where a skip does not fit."""
        if getattr(self, "residual", False) and self.out_shape(shape) != shape:
            raise InvalidInput(
                f"{self.tag} has a residual, so its output {tuple(self.out_shape(shape))} must equal its input "
                f"{tuple(shape)}; set residual to false or make stride 1 and the channels equal"
            )
        return self.kernels(shape)


class Strided(Op):
    """An op with a stride and its own number of output channels."""

    out_channels: int
    stride: int

    def out_shape(self, shape: Shape) -> Shape:
        return shape.strided(self.stride, self.out_channels)


_MAY_BE_ZERO = {"start_dw", "middle_dw", "expanded_channels", "se_channels", "hidden"}
_ODD = {"kernel", "start_dw", "middle_dw"}
_CHOICES: dict[str, Any] = {"act": Act, "se_act": Act, "se_gate": Gate}


@dataclass(frozen=True)
class Conv(Strided):
    """k x k convolution, normalisation, activation; 1 x 1 where kernel is 1."""

    tag: ClassVar[str] = "conv"
    out_channels: int
    kernel: int = 3
    stride: int = 1
    act: Act = "relu"

    def kernels(self, shape: Shape) -> list[Kernel]:
        return [conv("conv", shape, self.out_channels, self.kernel, self.stride, norm=True)]


@dataclass(frozen=True)
class FusedIB(Strided):
    """k x k convolution that strides and expands, normalisation, activation; 1 x 1 projection, normalisation."""

    tag: ClassVar[str] = "fused_ib"
    out_channels: int
    expanded_channels: int
    kernel: int = 3
    stride: int = 1
    act: Act = "relu"
    residual: bool = False
    layer_scale: bool = False

    def check(self) -> None:
        if not self.expanded_channels:
            raise InvalidInput("fused_ib.expanded_channels must be at least 1, got 0")

    def kernels(self, shape: Shape) -> list[Kernel]:
        expand = conv("expand", shape, self.expanded_channels, self.kernel, self.stride, norm=True)
        project = conv("project", expand.out_shape, self.out_channels, 1, 1, norm=True)
        body = [expand, scaled(project, self.layer_scale)]
        return with_residual(body, shape) if self.residual else body


@dataclass(frozen=True)
class UIB(Strided):
    """Universal Inverted Bottleneck: [start depthwise] - 1x1 expand - [middle depthwise] - 1x1 project.

    A depthwise kernel of 0 is absent. The stride sits on the middle depthwise if there is one, else on the start.
    Source: MobileNetV4, section 4 and Fig. 4; no activation after the start depthwise and after the projection.
    """

    tag: ClassVar[str] = "uib"
    out_channels: int
    expanded_channels: int
    start_dw: int = 0
    middle_dw: int = 3
    stride: int = 1
    act: Act = "relu"
    residual: bool = False
    layer_scale: bool = False

    def check(self) -> None:
        if not self.expanded_channels:
            raise InvalidInput("uib.expanded_channels must be at least 1, got 0")
        if self.stride > 1 and not (self.start_dw or self.middle_dw):
            raise InvalidInput(f"uib with stride {self.stride} needs a depthwise: set start_dw or middle_dw to 3 or 5")

    @property
    def variant(self) -> str:
        """The paper's name of this form: ExtraDW, IB, ConvNext or FFN."""
        names = {(True, True): "ExtraDW", (False, True): "IB", (True, False): "ConvNext", (False, False): "FFN"}
        return names[bool(self.start_dw), bool(self.middle_dw)]

    @property
    def start_stride(self) -> int:
        """Stride of the start depthwise."""
        return 1 if self.middle_dw else self.stride

    def kernels(self, shape: Shape) -> list[Kernel]:
        body: list[Kernel] = []
        at = shape
        if self.start_dw:
            body.append(depthwise("start_dw", at, self.start_dw, self.start_stride))
            at = body[-1].out_shape
        body.append(conv("expand", at, self.expanded_channels, 1, 1, norm=True))
        at = body[-1].out_shape
        if self.middle_dw:
            body.append(depthwise("middle_dw", at, self.middle_dw, self.stride))
            at = body[-1].out_shape
        body.append(scaled(conv("project", at, self.out_channels, 1, 1, norm=True), self.layer_scale))
        return with_residual(body, shape) if self.residual else body


@dataclass(frozen=True)
class SeparableConv(Strided):
    """MobileNetV1 block: depthwise, normalisation, activation; 1 x 1, normalisation, activation."""

    tag: ClassVar[str] = "separable_conv"
    out_channels: int
    kernel: int = 3
    stride: int = 1
    act: Act = "relu"

    def kernels(self, shape: Shape) -> list[Kernel]:
        first = depthwise("depthwise", shape, self.kernel, self.stride)
        return [first, conv("pointwise", first.out_shape, self.out_channels, 1, 1, norm=True)]


class Bottleneck(Strided):
    """[1x1 expand] - depthwise - [squeeze-excite] - 1x1 project, each of the three in one kernel or several."""

    expanded_channels: int
    se_channels: int
    residual: bool

    def spread(self, shape: Shape) -> list[Kernel]:
        """Return the expansion, without which the block has none."""
        return [conv("expand", shape, self.expanded_channels, 1, 1, norm=True)] if self.expanded_channels else []

    def filtered(self, shape: Shape) -> list[Kernel]:
        """Return the depthwise kernels."""
        raise TypeError(f"{type(self).__name__} is no op of its own")

    def project(self, shape: Shape) -> list[Kernel]:
        """Return the projection."""
        return [conv("project", shape, self.out_channels, 1, 1, norm=True)]

    def kernels(self, shape: Shape) -> list[Kernel]:
        wide = Shape(shape.height, shape.width, self.expanded_channels or shape.channels)
        deep = wide.strided(self.stride, wide.channels)
        expand, middle = self.spread(shape), self.filtered(wide)
        excite = squeeze_excite(deep, self.se_channels) if self.se_channels else []
        body = [*expand, *middle, *excite, *self.project(deep)]
        return with_residual(body, shape, readers=len(expand or middle)) if self.residual else body


@dataclass(frozen=True)
class InvertedResidual(Bottleneck):
    """MobileNetV2 and V3, MnasNet and EfficientNet block: [1x1 expand] - depthwise - [squeeze-excite] - 1x1 project.

    `expanded_channels` 0 means no expansion; `se_channels`, the width of the squeezed layer, 0 no squeeze-excite. V3
    gates with ReLU and hard sigmoid, the others with `act` and sigmoid.
    """

    tag: ClassVar[str] = "inverted_residual"
    later: ClassVar[frozenset[str]] = frozenset({"se_act", "se_gate"})
    out_channels: int
    expanded_channels: int
    kernel: int = 3
    stride: int = 1
    act: Act = "relu6"
    se_channels: int = 0
    residual: bool = False
    se_act: Act = "relu"
    se_gate: Gate = "hard_sigmoid"

    def filtered(self, shape: Shape) -> list[Kernel]:
        return [depthwise("depthwise", shape, self.kernel, self.stride)]


@dataclass(frozen=True)
class MixConv(Bottleneck):
    """MixNet block, arXiv 1907.09595: as `InvertedResidual`, its depthwise of several kernel sizes.

    Each size takes a share of the channels, in the order of `kernel_sizes`; the 1x1 convolutions may be grouped, each
    group a kernel of its own as in the authors' code. Shares are equal, the remainder in the first.
    """

    tag: ClassVar[str] = "mixconv"
    out_channels: int
    expanded_channels: int
    kernel_sizes: tuple[int, ...] = (3,)
    stride: int = 1
    act: Act = "relu"
    expand_groups: int = 1
    project_groups: int = 1
    se_channels: int = 0
    residual: bool = False
    se_act: Act = "relu"
    se_gate: Gate = "sigmoid"

    def check(self) -> None:
        if not self.kernel_sizes or any(size < 1 or size % 2 == 0 for size in self.kernel_sizes):
            raise InvalidInput(f"mixconv.kernel_sizes must be odd and at least one, got {list(self.kernel_sizes)}")
        if not self.expanded_channels:
            raise InvalidInput("mixconv.expanded_channels must be at least 1, got 0")

    def spread(self, shape: Shape) -> list[Kernel]:
        return grouped("expand", shape, self.expanded_channels, self.expand_groups)

    def filtered(self, shape: Shape) -> list[Kernel]:
        own = zip(self.kernel_sizes, shares(shape.channels, len(self.kernel_sizes)), strict=True)
        maps = ((size, Shape(shape.height, shape.width, channels)) for size, channels in own)
        return parts(
            [depthwise("depthwise", part, size, self.stride) for size, part in maps],
            shape.elements,
            shape.strided(self.stride, shape.channels).elements,
        )

    def project(self, shape: Shape) -> list[Kernel]:
        return grouped("project", shape, self.out_channels, self.project_groups)


def grouped(name: str, shape: Shape, out: int, groups: int) -> list[Kernel]:
    """Return a 1x1 convolution with normalisation in `groups` kernels."""
    widths = zip(shares(shape.channels, groups), shares(out, groups), strict=True)
    kernels = [conv(name, Shape(shape.height, shape.width, part), to, 1, 1, norm=True) for part, to in widths]
    return parts(kernels, shape.elements, shape.strided(1, out).elements)


def squeeze_excite(shape: Shape, squeezed: int) -> list[Kernel]:
    """Return pool, two dense layers and the gate's multiplication; the map waits meanwhile."""
    channels = shape.channels
    gate = [dense("se_reduce", channels, squeezed), dense("se_expand", squeezed, channels)]
    multiply = elementwise("se_scale", shape, shape.elements + channels)
    return [pool("se_pool", shape), *holding(gate, shape.elements), multiply]


@dataclass(frozen=True)
class MobileMQA(Op):
    """Mobile multi-query attention with one key and one value head (MobileNetV4, Eq. 2).

    Keys and values come from the normalised input, where `kv_stride` is 2 each from a strided 3x3 depthwise of its own.
    """

    tag: ClassVar[str] = "mobile_mqa"
    heads: int
    key_dim: int
    value_dim: int
    kv_stride: int = 1
    residual: bool = True
    layer_scale: bool = True

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def kernels(self, shape: Shape) -> list[Kernel]:
        channels, heads, positions = shape.channels, self.heads, shape.height * shape.width
        query = conv("query", shape, heads * self.key_dim, 1, 1, norm=False)
        keys, values = self.shared_head("key", shape, self.key_dim), self.shared_head("value", shape, self.value_dim)
        key, value = keys[-1].out_shape, values[-1].out_shape
        scores = Shape(positions, key.height * key.width, heads)
        mixed = Shape(shape.height, shape.width, heads * self.value_dim)
        macs = scores.elements * self.key_dim, scores.elements * self.value_dim
        attend = [
            Kernel("scores", "matmul", query.out_shape, scores, macs[0],
                   reads=query.out_shape.elements + key.elements, writes=scores.elements, held=value.elements),
            replace(elementwise("softmax", scores, scores.elements), held=value.elements),
            Kernel("mix", "matmul", scores, mixed, macs[1],
                   reads=scores.elements + value.elements, writes=mixed.elements),
        ]  # fmt: skip
        if len(keys) > 1:  # the strided keys read the normalised input first, the values after them
            keys[-1] = replace(keys[-1], held=shape.elements)
        body = [
            elementwise("norm", shape, shape.elements, params=2 * channels),
            query,
            *holding(keys, query.out_shape.elements),
            *holding(values, query.out_shape.elements + key.elements),
            *attend,
            scaled(conv("output", mixed, channels, 1, 1, norm=False), self.layer_scale),
        ]
        return with_residual(body, shape) if self.residual else body

    def shared_head(self, name: str, shape: Shape, width: int) -> list[Kernel]:
        """Return the kernels of the key or value projection."""
        if self.kv_stride == 1:
            return [conv(name, shape, width, 1, 1, norm=False)]
        down = depthwise(f"{name}_dw", shape, 3, self.kv_stride)
        return [down, conv(name, down.out_shape, width, 1, 1, norm=False)]


@dataclass(frozen=True)
class Head(Op):
    """Global average pool, an optional hidden 1 x 1 layer on the pooled features, and the classifier with bias.

    MobileNetV4 normalises the hidden layer (no bias); MobileNetV3 does not (bias). `hidden` 0 means none.
    """

    tag: ClassVar[str] = "head"
    hidden: int = 0
    hidden_norm: bool = True
    act: Act = "relu"

    def classify(self, shape: Shape, num_classes: int) -> list[Kernel]:
        """Return the kernels from the last map to `num_classes` logits."""
        kernels = [pool("pool", shape)]
        features = shape.channels
        if self.hidden:
            params = features * self.hidden + self.hidden * (2 if self.hidden_norm else 1)
            kernels.append(dense("hidden", features, self.hidden, params=params))
            features = self.hidden
        return [*kernels, dense("classifier", features, num_classes)]


def scaled(kernel: Kernel, layer_scale: bool) -> Kernel:
    """Return the kernel with the parameters of a layer scale, which the runtime folds into it."""
    return replace(kernel, params=kernel.params + kernel.out_shape.channels * layer_scale)


OPS: dict[str, type[Op]] = {
    op.tag: op for op in (Conv, FusedIB, UIB, SeparableConv, InvertedResidual, MixConv, MobileMQA)
}  # every op that may stand in a stage; one line for a new one
