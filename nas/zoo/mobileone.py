"""MobileOne S0 to S4 (arXiv 2206.04040) in the form that runs: the branches of a layer folded into one convolution.

Widths of Tab. 2 and the blocks with squeeze-excite as in the authors' code (apple/ml-mobileone). The folded block is a
depthwise and a 1x1 convolution with bias, each activated: a `SeparableConv` whose normalisations are folded, as every
exporter here does. Where theirs counts a bias, ours counts the two numbers of a normalisation.
"""

from dataclasses import replace
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.ops import Conv, Head, Op, SeparableConv, Shape
from nas.zoo.building import Builder, scaled_width

DEPTHS = (2, 8, 10, 1)
CHANNELS = (64, 128, 256, 512)
SQUEEZE = 16  # channels per channel of a squeezed layer


class Variant(NamedTuple):
    """Width multipliers of the four stages, and how many of the last blocks of each have squeeze-excite."""

    widths: tuple[float, float, float, float]
    excited: tuple[int, int, int, int] = (0, 0, 0, 0)


VARIANTS = {
    "mobileone-s0": Variant((0.75, 1.0, 1.0, 2.0)),
    "mobileone-s1": Variant((1.5, 1.5, 2.0, 2.5)),
    "mobileone-s2": Variant((1.5, 2.0, 2.5, 4.0)),
    "mobileone-s3": Variant((2.0, 2.5, 3.0, 4.0)),
    "mobileone-s4": Variant((3.0, 3.5, 3.5, 4.0), (0, 0, 5, 1)),
}


def mobileone(variant: Variant) -> Builder:
    """Return the builder of a MobileOne."""

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        channels = scaled_width(min(64, 64 * variant.widths[0]), width)
        stages: list[tuple[Op, ...]] = [(Conv(channels, 3, 2),)]
        for depth, base, factor, excited in zip(DEPTHS, CHANNELS, variant.widths, variant.excited, strict=True):
            out, stage = scaled_width(base * factor, width), []
            for i in range(depth):
                gated = i >= depth - excited
                op = SeparableConv(out, 3, 1 if i else 2)
                if gated:
                    op = replace(op, depthwise_se_channels=channels // SQUEEZE, se_channels=out // SQUEEZE)
                stage.append(op)
                channels = out
            stages.append(tuple(stage))
        return ArchSpec(shape, tuple(stages), Head(), num_classes)

    return build
