"""Backbones of MobileDets as block tables (arXiv 2004.14525, Fig. 6), found for a phone's CPU, EdgeTPU and DSP.

Rows and rounding of the authors' code (tensorflow/models, research/object_detection/models,
ssd_mobiledet_feature_extractor.py). They were published as backbones of detectors, on COCO: the classifier behind the
last map and its pool is ours, and no ImageNet accuracy is known.
"""

from typing import Any, Literal, NamedTuple

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Conv, FusedIB, Head, InvertedResidual, Op, Shape, Tucker
from nas.zoo.building import Builder

DetKind = Literal["ibn", "fused", "tucker"]


class DetRow(NamedTuple):
    """Repeated blocks of one kind: output channels, expansion of the input, stride of the first, kernel size.

    Of a Tucker convolution `ratios` are those of its ranks to the input and the output; an "ibn" of expansion 1 has no
    1x1 expansion. A block has a residual unless it is the first of its row and `residual` is false.
    """

    kind: DetKind
    out: int
    expansion: int = 0
    stride: int = 1
    kernel_size: int = 3
    repeats: int = 1
    residual: bool = True
    ratios: tuple[float, float] = (0.25, 0.75)


def _first(kind: DetKind, out: int, expansion: int = 0, stride: int = 1, kernel_size: int = 3) -> DetRow:
    """Return the row of a block without a residual."""
    return DetRow(kind, out, expansion, stride, kernel_size, residual=False)


CPU = (
    _first("ibn", 8, 1), _first("ibn", 16, 4, 2), _first("ibn", 32, 8, 2), DetRow("ibn", 32, 4, repeats=3),
    _first("ibn", 72, 8, 2, 5), DetRow("ibn", 72, 8), DetRow("ibn", 72, 4, 1, 5), DetRow("ibn", 72, 4),
    _first("ibn", 72, 8), DetRow("ibn", 72, 8, repeats=3),
    _first("ibn", 104, 8, 2, 5), DetRow("ibn", 104, 4, 1, 5, 2), DetRow("ibn", 104, 4), _first("ibn", 144, 8),
)  # fmt: skip
DSP = (
    _first("ibn", 24, 1),
    _first("fused", 32, 4, 2), DetRow("fused", 32, 4), DetRow("ibn", 32, 4), DetRow("tucker", 32),
    _first("fused", 64, 8, 2), DetRow("ibn", 64, 4), DetRow("fused", 64, 4, repeats=2),
    _first("fused", 120, 8, 2), DetRow("ibn", 120, 4), DetRow("ibn", 120, 8, repeats=2),
    _first("fused", 144, 8), DetRow("ibn", 144, 8, repeats=3),
    _first("ibn", 160, 4, 2), DetRow("ibn", 160, 4), DetRow("fused", 160, 4),
    DetRow("tucker", 160, ratios=(0.75, 0.75)), _first("ibn", 240, 8),
)  # fmt: skip
EDGETPU = (
    _first("tucker", 16), _first("fused", 16, 8, 2), DetRow("fused", 16, 4), DetRow("fused", 16, 8),
    DetRow("fused", 16, 4),
    _first("fused", 40, 8, 2, 5), DetRow("fused", 40, 4, repeats=3),
    _first("ibn", 72, 8, 2), DetRow("ibn", 72, 8), DetRow("fused", 72, 4, repeats=2),
    _first("ibn", 96, 8, 1, 5), DetRow("ibn", 96, 8, 1, 5), DetRow("ibn", 96, 8, repeats=2),
    _first("ibn", 120, 8, 2, 5), DetRow("ibn", 120, 8), DetRow("ibn", 120, 4, 1, 5), DetRow("ibn", 120, 8),
    _first("ibn", 384, 8, 1, 5),
)  # fmt: skip


def _share(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8: the rounding of the authors' code."""
    return max(8, int(channels / 8 + 0.5) * 8)


def mobiledet(rows: tuple[DetRow, ...], stem: int, act: Act = "relu6", se_ratio: float = 0) -> Builder:
    """Return the builder of a backbone; `se_ratio` is the width of its squeeze-excites to the expanded channels.

    A width multiplier scales all output channels.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        if not 0 < width <= 16:
            raise InvalidInput(f"a width multiplier must lie above 0 and up to 16, got {width}")
        channels = _share(stem * width)
        stages: list[tuple[Op, ...]] = []
        stage: list[Op] = [Conv(channels, 3, 2, act)]
        for row in rows:
            for i in range(row.repeats):
                if row.stride > 1 and not i:
                    stages, stage = [*stages, tuple(stage)], []
                scaled = row._replace(out=_share(row.out * width), stride=1 if i else row.stride)
                stage.append(_block(scaled._replace(residual=row.residual or i > 0), channels, act, se_ratio))
                channels = scaled.out
        return ArchSpec(shape, (*stages, tuple(stage)), Head(), num_classes)

    return build


def _block(row: DetRow, channels: int, act: Act, se_ratio: float) -> Op:
    """Return one block of a row on an input of `channels`."""
    settings: tuple[int, int, Act] = (row.kernel_size, row.stride, act)
    if row.kind == "tucker":
        in_rank, out_rank = _share(channels * row.ratios[0]), _share(row.out * row.ratios[1])
        return Tucker(row.out, in_rank, out_rank, *settings, residual=row.residual)
    expanded = channels * row.expansion
    excite: dict[str, Any] = {}
    if se_ratio:
        excite = {"se_channels": _share(expanded * se_ratio), "se_act": act, "se_gate": "sigmoid"}
    if row.kind == "fused":
        return FusedIB(row.out, expanded, *settings, residual=row.residual, **excite)
    return InvertedResidual(row.out, expanded if row.expansion > 1 else 0, *settings, residual=row.residual, **excite)
