"""MobileNetV4 as block tables, arXiv 2404.10518v2, Tab. 11 to 15, and the builder of such tables."""

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import UIB, Act, Conv, FusedIB, Head, MobileMQA, Op, Shape
from nas.zoo.building import Builder

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
    front: tuple[tuple[Op, ...], ...],
    body: StageRows,
    *,
    stem: int = 32,
    act: Act = "relu",
    layer_scale: bool = False,
) -> Builder:
    """Return the builder of a MobileNetV4: stem, `front` stages, stages of UIB rows and attention, 960, pool, 1280."""

    def build(shape: Shape, num_classes: int, width: float = 1.0) -> ArchSpec:
        if width != 1:
            raise InvalidInput(f"a MobileNetV4 has no width multiplier, got {width}")
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


def _fused(expanded: int, act: Act = "relu", layer_scale: bool = False) -> tuple[tuple[Op, ...], ...]:
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
