"""MobileNetV1 to V3 as block tables, with variants of theirs: arXiv 1704.04861, 1801.04381, 1905.02244.

FD-MobileNet (arXiv 1802.03750) strides fast, MobileNetV2 has a form with coordinate attention (arXiv 2103.02907), V3 a
minimalistic one without squeeze-excite and h-swish. All have width multipliers.
"""

from dataclasses import replace

from nas.arch import ArchSpec
from nas.ops import Act, Conv, Head, InvertedResidual, Op, SeparableConv, Shape, make_divisible
from nas.zoo.building import Builder, scaled_width

IRRow = tuple[int, int, int, int, Act, int]  # kernel size, expanded, out channels, squeeze-excite, act, stride

# MobileNetV1, arXiv 1704.04861, Tab. 1: (channels, stride).
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# FD-MobileNet, arXiv 1802.03750, Tab. 1: (channels, stride).
_FD = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 4, (1024, 1))
# MobileNetV2, arXiv 1801.04381, Tab. 2: (expansion, channels, repeats, stride of the first).
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# MobileNetV3, arXiv 1905.02244, Tab. 1 and 2; kernels of stage 6 as released.
V3_LARGE: tuple[tuple[IRRow, ...], ...] = (
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
V3_SMALL: tuple[tuple[IRRow, ...], ...] = (
    ((3, 16, 16, 1, "relu", 2),),
    ((3, 72, 24, 0, "relu", 2), (3, 88, 24, 0, "relu", 1)),
    ((5, 96, 40, 1, "hswish", 2), (5, 240, 40, 1, "hswish", 1), (5, 240, 40, 1, "hswish", 1)),
    ((5, 120, 48, 1, "hswish", 1), (5, 144, 48, 1, "hswish", 1)),
    ((5, 288, 96, 1, "hswish", 2), (5, 576, 96, 1, "hswish", 1), (5, 576, 96, 1, "hswish", 1)),
)


def mobilenet_v1(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return MobileNetV1 with every channel count multiplied by `width`."""
    blocks = tuple(SeparableConv(scaled_width(channels, width), 3, stride, "relu6") for channels, stride in _V1)
    return ArchSpec(shape, ((Conv(scaled_width(32, width), 3, 2, "relu6"),), blocks), Head(), num_classes)


def fd_mobilenet(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return FD-MobileNet, a MobileNetV1 that is down to 1/32 of the image in 12 layers, with ReLU."""
    blocks = tuple(SeparableConv(scaled_width(channels, width), 3, stride) for channels, stride in _FD)
    return ArchSpec(shape, ((Conv(scaled_width(32, width), 3, 2),), blocks), Head(), num_classes)


def mobilenet_v2_ca(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return MobileNetV2 with coordinate attention in each block that expands: 1/32 of its width, at least 8."""
    plain = mobilenet_v2(shape, num_classes, width)
    return replace(plain, stages=tuple(tuple(map(_with_coordinate_attention, stage)) for stage in plain.stages))


def _with_coordinate_attention(op: Op) -> Op:
    if isinstance(op, InvertedResidual) and op.expanded_channels:
        return replace(op, ca_channels=max(8, op.expanded_channels // 32))
    return op


def mobilenet_v2(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
    """Return MobileNetV2 with channel counts multiplied by `width`; the last 1280 grows only for widths above 1."""
    in_channels = scaled_width(32, width)
    stages: list[tuple[Op, ...]] = [(Conv(in_channels, 3, 2, "relu6"),)]
    for expansion, channels, repeats, first_stride in _V2:
        out, stage = scaled_width(channels, width), []
        for i in range(repeats):
            stride = 1 if i else first_stride
            expanded = make_divisible(in_channels * expansion) if expansion > 1 else 0
            # the skip follows the table, not rounded widths: a stage never starts with one
            stage.append(InvertedResidual(out, expanded, 3, stride, "relu6", residual=i > 0))
            in_channels = out
        stages.append(tuple(stage))
    last = Conv(scaled_width(1280, max(width, 1.0)), 1, 1, "relu6")
    return ArchSpec(shape, (*stages, (last,)), Head(), num_classes)


def minimalistic(table: tuple[tuple[IRRow, ...], ...]) -> tuple[tuple[IRRow, ...], ...]:
    """Return the rows of a MobileNetV3 with 3x3 kernels and ReLU throughout, and no squeeze-excite."""
    return tuple(
        tuple((3, expanded, out, 0, "relu", stride) for _, expanded, out, _, _, stride in rows) for rows in table
    )


def mobilenet_v3(table: tuple[tuple[IRRow, ...], ...], last: int, hidden: int, act: Act = "hswish") -> Builder:
    """Return the builder of a MobileNetV3 with a last 1x1 of `last` channels and a hidden layer without norm.

    `act` is the activation of stem and head.
    A width multiplier scales everything but the hidden layer, and that only above 1; a block keeps its ratio of
    expanded to input channels.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        in_table, in_channels = 16, scaled_width(16, width)  # channels in front of the block: in the table, and scaled
        stages: list[tuple[Op, ...]] = [(Conv(in_channels, 3, 2, act),)]
        for rows in table:
            stage: list[Op] = []
            for kernel_size, expanded, out, excite, row_act, stride in rows:
                wide, narrow = make_divisible(in_channels * expanded / in_table), scaled_width(out, width)
                se_channels = make_divisible(wide / 4) * excite
                residual = stride == 1 and out == in_table
                expanded_channels = 0 if expanded == in_table else wide
                stage.append(
                    InvertedResidual(narrow, expanded_channels, kernel_size, stride, row_act, se_channels, residual)
                )
                in_table, in_channels = out, narrow
            stages.append(tuple(stage))
        head = Head(scaled_width(hidden, max(width, 1.0)), hidden_norm=False, act=act)
        return ArchSpec(shape, (*stages, (Conv(scaled_width(last, width), 1, 1, act),)), head, num_classes)

    return build
