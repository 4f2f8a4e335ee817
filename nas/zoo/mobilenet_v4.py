"""MobileNetV4 as block tables, arXiv 2404.10518v2, Tab. 11 to 15, and the builder of such tables."""

from dataclasses import replace

from nas.arch import ArchSpec
from nas.ops import UIB, Act, Conv, FusedIB, Head, MobileMQA, Op, Shape, make_divisible
from nas.zoo.building import Builder, scaled_width

UIBRow = tuple[int, int, int, int, int]  # kernel sizes of start and middle depthwise, expanded, out channels, stride
StageRows = tuple[tuple[UIBRow | MobileMQA, ...], ...]  # the blocks of each stage

# MobileNetV4, arXiv 2404.10518v2, Tab. 11, 12, 14, 15; attention from the authors' code (tensorflow/models). Hybrid-M
# is the released form, which differs from the paper's Tab. 13.
_MQA_M3 = MobileMQA(heads=4, key_dim=64, value_dim=64, kv_stride=2)
_MQA_M4 = MobileMQA(heads=4, key_dim=64, value_dim=64)
_MQA_L3 = MobileMQA(heads=8, key_dim=48, value_dim=48, kv_stride=2)
_MQA_L4 = MobileMQA(heads=8, key_dim=64, value_dim=64)
_V4_SMALL_FRONT = ((Conv(32, 3, 2), Conv(32, 1)), (Conv(96, 3, 2), Conv(64, 1)))
_V4_S: StageRows = (
    ((5, 5, 192, 96, 2), *[(0, 3, 192, 96, 1)] * 4, (3, 0, 384, 96, 1)),
    ((3, 3, 576, 128, 2), (5, 5, 512, 128, 1), (0, 5, 512, 128, 1), (0, 5, 384, 128, 1), *[(0, 3, 512, 128, 1)] * 2),
)
_V4_M: StageRows = (
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
_V4_L: StageRows = (
    _V4_L_FRONT,
    (*_V4_L_BODY, *[(5, 3, 768, 192, 1)] * 3, (3, 0, 768, 192, 1)),
    (*_V4_L_TAIL, *[(5, 0, 2048, 512, 1)] * 3),
)
_V4_HYBRID_M: StageRows = (
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
_V4_HYBRID_L: StageRows = (
    _V4_L_FRONT,
    (*_V4_L_BODY, *(_MQA_L3, (5, 3, 768, 192, 1)) * 3, _MQA_L3, (3, 0, 768, 192, 1)),
    (*_V4_L_TAIL, *(_MQA_L4, (5, 0, 2048, 512, 1)) * 4),
)


def mobilenet_v4(
    front: tuple[tuple[Conv | FusedIB, ...], ...],
    body: StageRows,
    *,
    stem: int = 32,
    act: Act = "relu",
    layer_scale: bool = False,
) -> Builder:
    """Return the builder of a MobileNetV4: stem, `front` stages, stages of UIB rows and attention, 960, pool, 1280.

    A width multiplier scales as timm's variants do (mobilenetv4_conv_small_035 and _050, _hybrid_medium_075): not the
    hidden 1280 nor attention, the stem above 1 only; a block keeps its ratio of expanded to input channels.
    """

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        in_table, channels = stem, scaled_width(stem, max(width, 1.0))  # in the table, and scaled
        stages: list[tuple[Op, ...]] = [(Conv(channels, 3, 2, act),)]
        for ops in front:
            scaled = []
            for op in ops:
                scaled.append(_scaled(op, channels / in_table, width))
                in_table, channels = op.out_channels, scaled[-1].out_channels
            stages.append(tuple(scaled))
        for rows in body:
            stage: list[Op] = []
            for row in rows:
                if isinstance(row, MobileMQA):
                    stage.append(row)
                    continue
                start, middle, expanded, out, stride = row
                residual, narrow = stride == 1 and out == in_table, scaled_width(out, width)
                wide = make_divisible(channels * expanded / in_table)
                stage.append(UIB(narrow, wide, start, middle, stride, act, residual, layer_scale))
                in_table, channels = out, narrow
            stages.append(tuple(stage))
        last = Conv(scaled_width(960, width), 1, 1, act)
        return ArchSpec(shape, (*stages, (last,)), Head(1280, act=act), num_classes)

    return build


def _scaled(op: Conv | FusedIB, input_factor: float, width: float) -> Conv | FusedIB:
    """Return a convolution or fused block with its output times `width` and its expansion relative to its input."""
    out = scaled_width(op.out_channels, width)
    if isinstance(op, Conv):
        return replace(op, out_channels=out)
    return replace(op, out_channels=out, expanded_channels=make_divisible(op.expanded_channels * input_factor))


def _fused(expanded: int, act: Act = "relu", layer_scale: bool = False) -> tuple[tuple[FusedIB, ...], ...]:
    return ((FusedIB(48, expanded, 3, 2, act, layer_scale=layer_scale),),)


NETWORKS: dict[str, tuple[Builder, int]] = {
    "mobilenetv4-conv-s": (mobilenet_v4(_V4_SMALL_FRONT, _V4_S), 224),
    "mobilenetv4-conv-m": (mobilenet_v4(_fused(128), _V4_M), 256),
    "mobilenetv4-conv-l": (mobilenet_v4(_fused(96), _V4_L, stem=24), 384),
    "mobilenetv4-hybrid-m": (mobilenet_v4(_fused(128), _V4_HYBRID_M, layer_scale=True), 256),
    "mobilenetv4-hybrid-l": (
        mobilenet_v4(_fused(96, "gelu"), _V4_HYBRID_L, stem=24, act="gelu", layer_scale=True),
        384,
    ),
}  # builder and side of the images in pixels
