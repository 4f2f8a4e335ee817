"""MnasNet (arXiv 1807.11626), EfficientNet (1905.11946), its Lite variants and MixNet (1907.09595) as block tables.

Blocks from the authors' code (tensorflow/tpu, models/official/mnasnet and efficientnet, lite in a folder of that).
"""

import math
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Conv, Head, InvertedResidual, MixConv, Op, Shape
from nas.zoo.building import BlockStyle, Builder, StageRow, bottlenecks, scaled_width

MNASNET_B1 = (
    StageRow(1, 3, 1, 1, 16), StageRow(3, 3, 2, 3, 24), StageRow(3, 5, 2, 3, 40), StageRow(3, 5, 2, 6, 80),
    StageRow(2, 3, 1, 6, 96), StageRow(4, 5, 2, 6, 192), StageRow(1, 3, 1, 6, 320),
)  # fmt: skip
MNASNET_A1 = (
    StageRow(1, 3, 1, 1, 16), StageRow(2, 3, 2, 6, 24), StageRow(3, 5, 2, 3, 40, 0.25), StageRow(4, 3, 2, 6, 80),
    StageRow(2, 3, 1, 6, 112, 0.25), StageRow(3, 5, 2, 6, 160, 0.25), StageRow(1, 3, 1, 6, 320),
)  # fmt: skip
MNASNET_SMALL = (
    StageRow(1, 3, 1, 1, 8, first_residual=True), StageRow(1, 3, 2, 3, 16), StageRow(2, 3, 2, 6, 16),
    StageRow(4, 5, 2, 6, 32, 0.25), StageRow(3, 3, 1, 6, 32, 0.25, first_residual=True), StageRow(3, 5, 2, 6, 88, 0.25),
    StageRow(1, 3, 1, 6, 144),
)  # fmt: skip
EFFICIENTNET_B0 = (
    StageRow(1, 3, 1, 1, 16, 0.25), StageRow(2, 3, 2, 6, 24, 0.25), StageRow(2, 5, 2, 6, 40, 0.25),
    StageRow(3, 3, 2, 6, 80, 0.25), StageRow(3, 5, 1, 6, 112, 0.25), StageRow(4, 5, 2, 6, 192, 0.25),
    StageRow(1, 3, 1, 6, 320, 0.25),
)  # fmt: skip


class Scale(NamedTuple):
    """Width and depth multipliers of EfficientNet-B0, and the side of the images in pixels."""

    width: float
    depth: float
    resolution: int


RELEASED = {
    "efficientnet-b0": Scale(1.0, 1.0, 224),
    "efficientnet-b1": Scale(1.0, 1.1, 240),
    "efficientnet-b2": Scale(1.1, 1.2, 260),
    "efficientnet-b3": Scale(1.2, 1.4, 300),
    "efficientnet-b4": Scale(1.4, 1.8, 380),
    "efficientnet-b5": Scale(1.6, 2.2, 456),
    "efficientnet-b6": Scale(1.8, 2.6, 528),
    "efficientnet-b7": Scale(2.0, 3.1, 600),
}  # of the authors' code: rounded, unlike the powers that `compound` returns
LITE = {
    "efficientnet-lite0": Scale(1.0, 1.0, 224),
    "efficientnet-lite1": Scale(1.0, 1.1, 240),
    "efficientnet-lite2": Scale(1.1, 1.2, 260),
    "efficientnet-lite3": Scale(1.2, 1.4, 280),
    "efficientnet-lite4": Scale(1.4, 1.8, 300),
}


def compound(phi: float) -> Scale:
    """Return the compound scaling of section 4: depth 1.2^phi, width 1.1^phi, resolution 1.15^phi, MACs about 2^phi."""
    if not 0 <= phi <= 10:
        raise InvalidInput(f"the compound coefficient phi must lie between 0 and 10, got {phi}")
    return Scale(1.1**phi, 1.2**phi, round(224 * 1.15**phi))


def mnasnet(rows: tuple[StageRow, ...], stem_channels: int = 32) -> Builder:
    """Return the builder of a MnasNet; a width multiplier scales all but the last 1280."""

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        stem = scaled_width(stem_channels, width)
        stages = bottlenecks(rows, stem, width, BlockStyle("relu"))
        return ArchSpec(shape, ((Conv(stem, 3, 2),), *stages, (Conv(1280, 1),)), Head(), num_classes)

    return build


def efficientnet(scale: Scale) -> Builder:
    """Return the builder of EfficientNet-B0 scaled in width and depth: repeats are rounded up, widths to 8."""

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        wide = scale.width * width
        rows = [row._replace(repeats=math.ceil(row.repeats * scale.depth)) for row in EFFICIENTNET_B0]
        stem, last = (
            Conv(scaled_width(channels, wide), k, s, "swish") for channels, k, s in ((32, 3, 2), (1280, 1, 1))
        )
        stages = bottlenecks(rows, stem.out_channels, wide, BlockStyle("swish", "swish"))
        return ArchSpec(shape, ((stem,), *stages, (last,)), Head(), num_classes)

    return build


def efficientnet_lite(scale: Scale) -> Builder:
    """Return the builder of EfficientNet-Lite: no squeeze-excite, ReLU6, the ends as in B0 however it is scaled.

    Stem, last 1x1 convolution and the repeats of the first and the last stage are not scaled. Padding and normalisation
    are TensorFlow's, so that the authors' weights fit.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        first, *between, last = (row._replace(se_ratio=0) for row in EFFICIENTNET_B0)
        deep = [row._replace(repeats=math.ceil(row.repeats * scale.depth)) for row in between]
        stem = Conv(scaled_width(32, width), 3, 2, "relu6")
        stages = bottlenecks([first, *deep, last], stem.out_channels, scale.width * width, BlockStyle("relu6"))
        end = Conv(scaled_width(1280, width), 1, 1, "relu6")
        return ArchSpec(shape, ((stem,), *stages, (end,)), Head(), num_classes, padding="same", norm_eps=1e-3)

    return build


class MixRow(NamedTuple):
    """Repeated blocks of MixNet: kernel sizes, groups of the 1x1 convolutions, stride of the first block, widths."""

    repeats: int
    kernel_sizes: tuple[int, ...]
    expand_groups: int
    project_groups: int
    stride: int
    expansion: int
    out: int
    se_ratio: float
    act: Act


MIXNET_S = (
    (MixRow(1, (3,), 2, 2, 2, 6, 24, 0, "relu"), MixRow(1, (3,), 2, 2, 1, 3, 24, 0, "relu")),
    (MixRow(1, (3, 5, 7), 1, 1, 2, 6, 40, 0.5, "swish"), MixRow(3, (3, 5), 2, 2, 1, 6, 40, 0.5, "swish")),
    (MixRow(1, (3, 5, 7), 1, 2, 2, 6, 80, 0.25, "swish"), MixRow(2, (3, 5), 1, 2, 1, 6, 80, 0.25, "swish")),
    (MixRow(1, (3, 5, 7), 2, 2, 1, 6, 120, 0.5, "swish"), MixRow(2, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, "swish")),
    (
        MixRow(1, (3, 5, 7, 9, 11), 1, 1, 2, 6, 200, 0.5, "swish"),
        MixRow(2, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, "swish"),
    ),
)


MIXNET_M = (
    (MixRow(1, (3, 5, 7), 2, 2, 2, 6, 32, 0, "relu"), MixRow(1, (3,), 2, 2, 1, 3, 32, 0, "relu")),
    (MixRow(1, (3, 5, 7, 9), 1, 1, 2, 6, 40, 0.5, "swish"), MixRow(3, (3, 5), 2, 2, 1, 6, 40, 0.5, "swish")),
    (MixRow(1, (3, 5, 7), 1, 1, 2, 6, 80, 0.25, "swish"), MixRow(3, (3, 5, 7, 9), 2, 2, 1, 6, 80, 0.25, "swish")),
    (MixRow(1, (3,), 1, 1, 1, 6, 120, 0.5, "swish"), MixRow(3, (3, 5, 7, 9), 2, 2, 1, 3, 120, 0.5, "swish")),
    (MixRow(1, (3, 5, 7, 9), 1, 1, 2, 6, 200, 0.5, "swish"), MixRow(3, (3, 5, 7, 9), 1, 2, 1, 6, 200, 0.5, "swish")),
)


def mixnet(table: tuple[tuple[MixRow, ...], ...], stem: int, factor: float = 1.0) -> Builder:
    """Return the builder of a MixNet, Fig. 6 of the paper: M is S's successor, L is M with all widths times 1.3.

    `factor` scales all but the last 1536.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        in_channels = scaled_width(stem * factor, width)
        first = InvertedResidual(in_channels, 0, 3, 1, "relu", residual=True)
        stages: list[tuple[Op, ...]] = [(Conv(in_channels, 3, 2),), (first,)]
        for rows in table:
            stage: list[Op] = []
            for row in rows:
                out = scaled_width(row.out * factor, width)
                for i in range(row.repeats):
                    stride = 1 if i else row.stride
                    se_channels, residual = int(in_channels * row.se_ratio), stride == 1 and in_channels == out
                    stage.append(MixConv(
                        out, in_channels * row.expansion, row.kernel_sizes, stride, row.act, row.expand_groups,
                        row.project_groups, se_channels, residual, row.act if se_channels else "relu",
                    ))  # fmt: skip
                    in_channels = out
            stages.append(tuple(stage))
        return ArchSpec(shape, (*stages, (Conv(scaled_width(1536, max(width, 1.0)), 1),)), Head(), num_classes)

    return build
