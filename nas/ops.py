"""What an architecture is made of: ops that a designer names, and the kernels they lower to, which carry all cost.

An op is a frozen value with absolute channel counts. `op.lower(shape)` returns the kernels it runs on an input of that
shape, each with resolved sizes; `op.out_shape(shape)` its output. Nothing else in the engine knows what an op costs.
Blocks: MobileNetV4, arXiv 2404.10518, section 4; MobileNetV1 1704.04861; V2 1801.04381; V3 1905.02244.
"""

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, NamedTuple, get_args

from nas.errors import InvalidInput

Act = Literal["none", "relu", "relu6", "hswish", "gelu"]
Kind = Literal["conv", "pointwise", "depthwise", "dense", "matmul", "pool", "elementwise"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Shape(NamedTuple):
    """Height, width and channels of one feature map (one picture)."""

    height: int
    width: int
    channels: int

    @property
    def elements(self) -> int:
        """Number of scalars in the map."""
        return self.height * self.width * self.channels

    def strided(self, stride: int, channels: int) -> "Shape":
        """Return the map after an odd kernel with `stride`, padded so that stride 1 keeps its size."""
        return Shape(-(-self.height // stride), -(-self.width // stride), channels)


@dataclass(frozen=True)
class Kernel:
    """One call of the runtime: folded normalisation and activation are part of the kernel in front of them.

    All counts are for one picture and in elements, not bytes: a target knows how wide an element is.
    """

    name: str
    kind: Kind
    in_shape: Shape
    out_shape: Shape
    macs: int
    params: int = 0  # trainable parameters, normalisation and bias included
    weights: int = 0  # parameters that the executed kernel reads
    reads: int = 0  # activation elements read
    writes: int = 0  # activation elements written
    held: int = 0  # elements of other tensors (a skip, a gate's input) that must stay alive meanwhile
    kernel: int = 1
    stride: int = 1

    @property
    def live_elements(self) -> int:
        """Activation elements alive while the kernel runs: what it reads, writes and what others still need."""
        return self.reads + self.writes + self.held


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, never down by more than 10 % (the MobileNet rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def conv(name: str, shape: Shape, out: int, kernel: int, stride: int, *, norm: bool, bias: bool = False) -> Kernel:
    """Return a dense k x k convolution, or a pointwise one for k = 1; `norm` adds two parameters a channel."""
    result = shape.strided(stride, out)
    weights = kernel * kernel * shape.channels * out
    kind: Kind = "pointwise" if kernel == 1 else "conv"
    params = weights + 2 * out * norm + out * bias
    macs = result.height * result.width * weights
    return Kernel(name, kind, shape, result, macs, params, weights, shape.elements, result.elements, 0, kernel, stride)


def depthwise(name: str, shape: Shape, kernel: int, stride: int) -> Kernel:
    """Return a depthwise convolution with normalisation."""
    result = shape.strided(stride, shape.channels)
    weights = kernel * kernel * shape.channels
    macs = result.height * result.width * weights
    params = weights + 2 * shape.channels
    reads, writes = shape.elements, result.elements
    return Kernel(name, "depthwise", shape, result, macs, params, weights, reads, writes, 0, kernel, stride)


def dense(name: str, features: int, out: int, *, params: int | None = None) -> Kernel:
    """Return a fully connected layer with bias on a 1 x 1 map, unless `params` says otherwise."""
    weights = features * out
    count = weights + out if params is None else params
    shape, result = Shape(1, 1, features), Shape(1, 1, out)
    return Kernel(name, "dense", shape, result, weights, count, weights, features, out)


def pool(name: str, shape: Shape) -> Kernel:
    """Return a global average pool."""
    result = Shape(1, 1, shape.channels)
    return Kernel(name, "pool", shape, result, 0, reads=shape.elements, writes=result.elements)


def elementwise(name: str, shape: Shape, reads: int | None = None, params: int = 0) -> Kernel:
    """Return an elementwise kernel (an addition by default reads two maps)."""
    count = 2 * shape.elements if reads is None else reads
    return Kernel(name, "elementwise", shape, shape, 0, params, params, count, shape.elements)


def holding(kernels: list[Kernel], elements: int) -> list[Kernel]:
    """Return the kernels with `elements` more kept alive during each of them."""
    return [replace(kernel, held=kernel.held + elements) for kernel in kernels]


def with_residual(kernels: list[Kernel], shape: Shape) -> list[Kernel]:
    """Return a block's kernels followed by the addition of its input, which the kernels after the first must hold."""
    first, *others = kernels
    return [first, *holding(others, shape.elements), elementwise("add", shape)]


@dataclass(frozen=True)
class Op:
    """Base of all ops. `tag` is the op's name in JSON."""

    tag: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            value, minimum = getattr(self, field.name), int(field.name not in _MAY_BE_ZERO)
            if isinstance(value, int) and not isinstance(value, bool) and value < minimum:
                raise InvalidInput(f"{self.tag}.{field.name} must be at least {minimum}, got {value}")
            if field.name in _ODD and value and value % 2 == 0:
                raise InvalidInput(f"{self.tag}.{field.name} must be odd, got {value}")
            if field.name.endswith("act") and value not in get_args(Act):
                raise InvalidInput(f"{self.tag}.{field.name} must be one of {', '.join(get_args(Act))}, got '{value}'")
        self.check()

    def check(self) -> None:
        """Raise `InvalidInput` where fields contradict each other."""

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


@dataclass(frozen=True)
class InvertedResidual(Strided):
    """MobileNetV2 and V3 block: [1x1 expand] - depthwise - [squeeze-excite] - 1x1 project.

    `expanded_channels` 0 means no expansion; `se_channels` 0 no squeeze-excite. The gate is ReLU, then hard sigmoid.
    """

    tag: ClassVar[str] = "inverted_residual"
    out_channels: int
    expanded_channels: int
    kernel: int = 3
    stride: int = 1
    act: Act = "relu6"
    se_channels: int = 0
    residual: bool = False

    def kernels(self, shape: Shape) -> list[Kernel]:
        body: list[Kernel] = []
        at = shape
        if self.expanded_channels:
            body.append(conv("expand", at, self.expanded_channels, 1, 1, norm=True))
            at = body[-1].out_shape
        body.append(depthwise("depthwise", at, self.kernel, self.stride))
        at = body[-1].out_shape
        if self.se_channels:
            body += self.squeeze_excite(at)
        body.append(conv("project", at, self.out_channels, 1, 1, norm=True))
        return with_residual(body, shape) if self.residual else body

    def squeeze_excite(self, shape: Shape) -> list[Kernel]:
        """Return pool, two dense layers and the gate's multiplication; the map waits meanwhile."""
        channels = shape.channels
        gate = [dense("se_reduce", channels, self.se_channels), dense("se_expand", self.se_channels, channels)]
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
    op.tag: op for op in (Conv, FusedIB, UIB, SeparableConv, InvertedResidual, MobileMQA)
}  # every op that may stand in a stage; one line for a new one
