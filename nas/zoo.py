"""Reference networks by name: MobileNetV1 to V4 as block tables, with where each was published and its top-1.

Weights in circulation differ in padding and epsilon; the specs here use symmetric padding and 1e-5 throughout, the form
of the outside implementations that the golden logits come from. `dataclasses.replace` gives the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.arch import ArchSpec
from nas.errors import InvalidInput, unknown_name
from nas.ops import UIB, Act, Conv, FusedIB, Head, InvertedResidual, MobileMQA, Op, SeparableConv, Shape, make_divisible

Builder = Callable[[Shape, int], ArchSpec]  # input shape, number of classes
UIBRow = tuple[int, int, int, int, int]  # start depthwise, middle depthwise, expanded, out channels, stride
IRRow = tuple[int, int, int, int, Act, int]  # kernel, expanded, out channels, squeeze-excite (0 or 1), act, stride
Rows = tuple[tuple[UIBRow | MobileMQA, ...], ...]  # per stage its blocks


@dataclass(frozen=True)
class ZooEntry:
    """A published network: how to build it, the side of its pictures in pixels, and what its authors report."""

    build: Builder
    resolution: int
    paper: str
    url: str
    top1_percent: float  # ImageNet-1k validation, as published
    top1_source: str

    def spec(self) -> ArchSpec:
        """Return the network as published: 3 channels, 1,000 classes."""
        return self.build(Shape(self.resolution, self.resolution, 3), 1000)


# MobileNetV4, arXiv 2404.10518v2, Tab. 11, 12, 14, 15; attention from the authors' code (tensorflow/models). Hybrid-M
# is the released form, which differs from the paper's Tab. 13.
_MQA_M3 = MobileMQA(heads=4, key_dim=64, value_dim=64, kv_stride=2)
_MQA_M4 = MobileMQA(heads=4, key_dim=64, value_dim=64)
_MQA_L3 = MobileMQA(heads=8, key_dim=48, value_dim=48, kv_stride=2)
_MQA_L4 = MobileMQA(heads=8, key_dim=64, value_dim=64)
_V4_SMALL_FRONT = ((Conv(32, 3, 2), Conv(32, 1)), (Conv(96, 3, 2), Conv(64, 1)))
_V4_S: Rows = (
    ((5, 5, 192, 96, 2), *[(0, 3, 192, 96, 1)] * 4, (3, 0, 384, 96, 1)),
    ((3, 3, 576, 128, 2), (5, 5, 512, 128, 1), (0, 5, 512, 128, 1), (0, 5, 384, 128, 1), *[(0, 3, 512, 128, 1)] * 2),
)
_V4_M: Rows = (
    ((3, 5, 192, 80, 2), (3, 3, 160, 80, 1)),
    (
        (3, 5, 480, 160, 2), *[(3, 3, 640, 160, 1)] * 2, (3, 5, 640, 160, 1), (3, 3, 640, 160, 1),
        (3, 0, 640, 160, 1), (0, 0, 320, 160, 1), (3, 0, 640, 160, 1),
    ),
    (
        (5, 5, 960, 256, 2), (5, 5, 1024, 256, 1), *[(3, 5, 1024, 256, 1)] * 2, (0, 0, 1024, 256, 1),
        (3, 0, 1024, 256, 1), (3, 5, 512, 256, 1), (5, 5, 1024, 256, 1), *[(0, 0, 1024, 256, 1)] * 2,
        (5, 0, 512, 256, 1),
    ),
)  # fmt: skip
_V4_L_FRONT: tuple[UIBRow, ...] = ((3, 5, 192, 96, 2), (3, 3, 384, 96, 1))
_V4_L_BODY: tuple[UIBRow, ...] = (
    (3, 5, 384, 192, 2), *[(3, 3, 768, 192, 1)] * 3, (3, 5, 768, 192, 1), *[(5, 3, 768, 192, 1)] * 2,
)  # fmt: skip
_V4_L_TAIL: tuple[UIBRow, ...] = (
    (5, 5, 768, 512, 2), *[(5, 5, 2048, 512, 1)] * 3, (5, 0, 2048, 512, 1), (5, 3, 2048, 512, 1),
    *[(5, 0, 2048, 512, 1)] * 2, (5, 3, 2048, 512, 1), (5, 5, 2048, 512, 1),
)  # fmt: skip
_V4_L: Rows = (
    _V4_L_FRONT,
    (*_V4_L_BODY, *[(5, 3, 768, 192, 1)] * 3, (3, 0, 768, 192, 1)),
    (*_V4_L_TAIL, *[(5, 0, 2048, 512, 1)] * 3),
)
_V4_HYBRID_M: Rows = (
    ((3, 5, 192, 80, 2), (3, 3, 160, 80, 1)),
    (
        (3, 5, 480, 160, 2), (0, 0, 320, 160, 1), (3, 3, 640, 160, 1), (3, 5, 640, 160, 1),
        _MQA_M3, (3, 3, 640, 160, 1), _MQA_M3, (3, 0, 640, 160, 1), _MQA_M3, (3, 3, 640, 160, 1), _MQA_M3,
        (3, 0, 640, 160, 1),
    ),
    (
        (5, 5, 960, 256, 2), (5, 5, 1024, 256, 1), *[(3, 5, 1024, 256, 1)] * 2, (0, 0, 512, 256, 1),
        (3, 5, 512, 256, 1), (0, 0, 512, 256, 1), (0, 0, 1024, 256, 1),
        _MQA_M4, (3, 0, 1024, 256, 1), _MQA_M4, (5, 5, 1024, 256, 1), _MQA_M4, (5, 0, 1024, 256, 1), _MQA_M4,
        (5, 0, 1024, 256, 1),
    ),
)  # fmt: skip
_V4_HYBRID_L: Rows = (
    _V4_L_FRONT,
    (*_V4_L_BODY, *(_MQA_L3, (5, 3, 768, 192, 1)) * 3, _MQA_L3, (3, 0, 768, 192, 1)),
    (*_V4_L_TAIL, *(_MQA_L4, (5, 0, 2048, 512, 1)) * 4),
)

# MobileNetV1, arXiv 1704.04861, Tab. 1: (channels, stride).
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# MobileNetV2, arXiv 1801.04381, Tab. 2: (expansion, channels, repeats, stride of the first).
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# MobileNetV3, arXiv 1905.02244, Tab. 1 and 2; kernels of stage 6 as released.
_V3_LARGE: tuple[tuple[IRRow, ...], ...] = (
    ((3, 16, 16, 0, "relu", 1),),
    ((3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1)),
    ((5, 72, 40, 1, "relu", 2), (5, 120, 40, 1, "relu", 1), (5, 120, 40, 1, "relu", 1)),
    (
        (3, 240, 80, 0, "hswish", 2),
        (3, 200, 80, 0, "hswish", 1),
        (3, 184, 80, 0, "hswish", 1),
        (3, 184, 80, 0, "hswish", 1),
    ),
    ((3, 480, 112, 1, "hswish", 1), (3, 672, 112, 1, "hswish", 1)),
    ((5, 672, 160, 1, "hswish", 2), (5, 960, 160, 1, "hswish", 1), (5, 960, 160, 1, "hswish", 1)),
)
_V3_SMALL: tuple[tuple[IRRow, ...], ...] = (
    ((3, 16, 16, 1, "relu", 2),),
    ((3, 72, 24, 0, "relu", 2), (3, 88, 24, 0, "relu", 1)),
    ((5, 96, 40, 1, "hswish", 2), (5, 240, 40, 1, "hswish", 1), (5, 240, 40, 1, "hswish", 1)),
    ((5, 120, 48, 1, "hswish", 1), (5, 144, 48, 1, "hswish", 1)),
    ((5, 288, 96, 1, "hswish", 2), (5, 576, 96, 1, "hswish", 1), (5, 576, 96, 1, "hswish", 1)),
)


def mobilenet_v4(
    front: tuple[tuple[Op, ...], ...],
    body: Rows,
    *,
    stem: int = 32,
    act: Act = "relu",
    layer_scale: bool = False,
) -> Builder:
    """Return the builder of a MobileNetV4: stem, `front` stages, stages of UIB rows and attention, 960, pool, 1280."""

    def build(shape: Shape, num_classes: int) -> ArchSpec:
        stages: list[tuple[Op, ...]] = [(Conv(stem, 3, 2, act),), *front]
        channels = 0  # the first row of a stage has stride 2, hence no residual to compare widths for
        for rows in body:
            stage: list[Op] = []
            for row in rows:
                if isinstance(row, MobileMQA):
                    stage.append(row)
                    continue
                start, middle, expanded, out, stride = row
                residual = stride == 1 and out == channels
                stage.append(UIB(out, expanded, start, middle, stride, act, residual, layer_scale))
                channels = out
            stages.append(tuple(stage))
        return ArchSpec(shape, (*stages, (Conv(960, 1, 1, act),)), Head(1280, act=act), num_classes)

    return build


def mobilenet_v1(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return MobileNetV1 with every channel count multiplied by `width`."""
    blocks = tuple(SeparableConv(scaled_width(channels, width), 3, stride, "relu6") for channels, stride in _V1)
    return ArchSpec(shape, ((Conv(scaled_width(32, width), 3, 2, "relu6"),), blocks), Head(), num_classes)


def mobilenet_v2(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return MobileNetV2 with channel counts multiplied by `width`; the last 1280 grows only for widths above 1."""
    before = scaled_width(32, width)
    stages: list[tuple[Op, ...]] = [(Conv(before, 3, 2, "relu6"),)]
    for expansion, channels, repeats, first_stride in _V2:
        out, stage = scaled_width(channels, width), []
        for i in range(repeats):
            stride = 1 if i else first_stride
            expanded = make_divisible(before * expansion) if expansion > 1 else 0
            # the skip follows the table, not rounded widths: a stage never starts with one
            stage.append(InvertedResidual(out, expanded, 3, stride, "relu6", residual=i > 0))
            before = out
        stages.append(tuple(stage))
    last = Conv(scaled_width(1280, max(width, 1.0)), 1, 1, "relu6")
    return ArchSpec(shape, (*stages, (last,)), Head(), num_classes)


def mobilenet_v3(table: tuple[tuple[IRRow, ...], ...], last: int, hidden: int) -> Builder:
    """Return the builder of a MobileNetV3 with a last 1x1 of `last` channels and a hidden layer without norm."""

    def build(shape: Shape, num_classes: int) -> ArchSpec:
        stages: list[tuple[Op, ...]] = [(Conv(16, 3, 2, "hswish"),)]
        before = 16
        for rows in table:
            stage: list[Op] = []
            for kernel, expanded, out, excite, act, stride in rows:
                squeeze = make_divisible(expanded / 4) * excite
                residual = stride == 1 and out == before
                expand = 0 if expanded == before else expanded
                stage.append(InvertedResidual(out, expand, kernel, stride, act, squeeze, residual))
                before = out
            stages.append(tuple(stage))
        head = Head(hidden, hidden_norm=False, act="hswish")
        return ArchSpec(shape, (*stages, (Conv(last, 1, 1, "hswish"),)), head, num_classes)

    return build


def scaled_width(channels: int, width: float) -> int:
    """Return `channels` times the width multiplier, a multiple of 8."""
    if not 0 < width <= 16:
        raise InvalidInput(f"a width multiplier must lie above 0 and up to 16, got {width}")
    return make_divisible(channels * width)


def _fused(expanded: int, act: Act = "relu", layer_scale: bool = False) -> tuple[tuple[Op, ...], ...]:
    return ((FusedIB(48, expanded, 3, 2, act, layer_scale=layer_scale),),)


def _v4(build: Builder, resolution: int, top1_percent: float) -> ZooEntry:
    paper = "MobileNetV4 - Universal Models for the Mobile Ecosystem"
    return ZooEntry(build, resolution, paper, "https://arxiv.org/abs/2404.10518", top1_percent, "the paper's Tab. 6")


_SLIM = "tensorflow/models, research/slim/nets/"
_V3_PAPER = ("Searching for MobileNetV3", "https://arxiv.org/abs/1905.02244")
_V3_SOURCE = _SLIM + "mobilenet/README.md, float"
ZOO: dict[str, ZooEntry] = {
    "mobilenetv4-conv-s": _v4(mobilenet_v4(_V4_SMALL_FRONT, _V4_S), 224, 73.8),
    "mobilenetv4-conv-m": _v4(mobilenet_v4(_fused(128), _V4_M), 256, 79.9),
    "mobilenetv4-conv-l": _v4(mobilenet_v4(_fused(96), _V4_L, stem=24), 384, 82.9),
    "mobilenetv4-hybrid-m": _v4(mobilenet_v4(_fused(128), _V4_HYBRID_M, layer_scale=True), 256, 80.7),
    "mobilenetv4-hybrid-l": _v4(
        mobilenet_v4(_fused(96, "gelu"), _V4_HYBRID_L, stem=24, act="gelu", layer_scale=True), 384, 83.4
    ),
    "mobilenetv1": ZooEntry(
        mobilenet_v1, 224, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        "https://arxiv.org/abs/1704.04861", 70.9, _SLIM + "mobilenet_v1.md, float",
    ),
    "mobilenetv2": ZooEntry(
        mobilenet_v2, 224, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        "https://arxiv.org/abs/1801.04381", 71.8, _SLIM + "mobilenet/README.md, float",
    ),
    "mobilenetv3-large": ZooEntry(mobilenet_v3(_V3_LARGE, 960, 1280), 224, *_V3_PAPER, 75.2, _V3_SOURCE),
    "mobilenetv3-small": ZooEntry(mobilenet_v3(_V3_SMALL, 576, 1024), 224, *_V3_PAPER, 67.5, _V3_SOURCE),
}  # fmt: skip


def reference(name: str, *, resolution: int | None = None, channels: int = 3, num_classes: int = 1000) -> ArchSpec:
    """Return the named network for square pictures of `resolution` pixels (by default the published side)."""
    if name not in ZOO:
        raise unknown_name("reference network", name, ZOO)
    side = ZOO[name].resolution if resolution is None else resolution
    return replace(ZOO[name].build(Shape(side, side, channels), num_classes), name=name)
