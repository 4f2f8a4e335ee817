"""Networks designed for accelerators: MobileNet-EdgeTPU (arXiv 2003.02838) and MobileNet Multi-hardware (2008.08178).

MobileNet-EdgeTPU: rows of the authors' code (tensorflow/models, research/slim/nets/mobilenet, mobilenet_v3.V3_EDGETPU).
Multi-hardware: rows as MobileNetV4's authors name them in arXiv 2404.10518, Tab. 6.
"""

from typing import NamedTuple

from nas.arch import ArchSpec
from nas.ops import Act, Conv, FusedIB, Head, InvertedResidual, Op, Shape
from nas.zoo.building import Builder, scaled_width


class BlockRow(NamedTuple):
    """Kernel size, stride, output channels and expansion ratio of one block."""

    kernel_size: int
    stride: int
    out: int
    expansion: int


MULTI_MAX = (
    BlockRow(3, 2, 32, 3), BlockRow(5, 2, 64, 6), *[BlockRow(3, 1, 64, 2)] * 2, BlockRow(5, 2, 128, 6),
    BlockRow(3, 1, 128, 4), *[BlockRow(3, 1, 128, 3)] * 2, BlockRow(3, 1, 128, 6), BlockRow(3, 1, 128, 3),
    BlockRow(3, 2, 160, 6), BlockRow(5, 1, 160, 4), BlockRow(3, 1, 160, 5), BlockRow(5, 1, 160, 4),
)  # fmt: skip
MULTI_AVG = (
    BlockRow(3, 2, 32, 3), BlockRow(3, 1, 32, 2), BlockRow(5, 2, 64, 5), BlockRow(3, 1, 64, 3), BlockRow(3, 1, 64, 2),
    BlockRow(3, 1, 64, 3), BlockRow(5, 2, 128, 6), *[BlockRow(3, 1, 128, 3)] * 3, BlockRow(3, 1, 160, 6),
    BlockRow(3, 1, 160, 4), BlockRow(3, 2, 192, 6), *[BlockRow(5, 1, 192, 4)] * 3,
)  # fmt: skip
EDGETPU_FUSED = (
    BlockRow(3, 2, 32, 8),
    *[BlockRow(3, 1, 32, 4)] * 3,
    BlockRow(3, 2, 48, 8),
    *[BlockRow(3, 1, 48, 4)] * 3,
)
EDGETPU_DEPTHWISE = (
    BlockRow(3, 2, 96, 8), *[BlockRow(3, 1, 96, 4)] * 3, BlockRow(3, 1, 96, 8), *[BlockRow(3, 1, 96, 4)] * 3,
    BlockRow(5, 2, 160, 8), *[BlockRow(5, 1, 160, 4)] * 3, BlockRow(3, 1, 192, 8),
)  # fmt: skip
WITHOUT_RESIDUAL = len(EDGETPU_FUSED) + 4  # the one block of MobileNet-EdgeTPU that could have a residual and has none


def multi_hardware(blocks: tuple[BlockRow, ...]) -> Builder:
    """Return the builder of a Multi-hardware network: the last 960 and 1280 grow with widths above 1."""

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        in_channels, grown = scaled_width(32, width), max(width, 1.0)
        ops: list[Op] = [Conv(in_channels, stride=2)]
        for block in blocks:
            out = scaled_width(block.out, width)
            residual = block.stride == 1 and out == in_channels
            ops.append(InvertedResidual(
                out, in_channels * block.expansion, block.kernel_size, block.stride, "relu", residual=residual
            ))  # fmt: skip
            in_channels = out
        head = Head(scaled_width(1280, grown), hidden_norm=False)
        return ArchSpec(shape, (tuple(ops), (Conv(scaled_width(960, grown), 1),)), head, num_classes)

    return build


def mobilenet_edgetpu(first_act: Act) -> Builder:
    """Return the builder of MobileNet-EdgeTPU: fused blocks, then inverted residuals; 1280 grows above width 1 only.

    The first block of the authors' table expands by 1, for which their code runs the 1x1 projection alone, without an
    activation; timm's mobilenet_edgetpu_100 has a ReLU behind it: `first_act` says which form it is.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        in_channels = scaled_width(16, width)
        ops: list[Op] = [Conv(scaled_width(32, width), stride=2), Conv(in_channels, 1, act=first_act)]
        for i, block in enumerate((*EDGETPU_FUSED, *EDGETPU_DEPTHWISE)):
            out, expanded = scaled_width(block.out, width), in_channels * block.expansion
            kind = FusedIB if i < len(EDGETPU_FUSED) else InvertedResidual
            residual = block.stride == 1 and out == in_channels and i != WITHOUT_RESIDUAL
            ops.append(kind(out, expanded, block.kernel_size, block.stride, "relu", residual=residual))
            in_channels = out
        last = Conv(scaled_width(1280, max(width, 1.0)), 1)
        return ArchSpec(shape, (tuple(ops), (last,)), Head(), num_classes)

    return build
