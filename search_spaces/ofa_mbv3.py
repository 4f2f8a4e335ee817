"""Once-for-all MobileNetV3 (Cai et al. 2020), https://arxiv.org/abs/1908.09791.

The space of section 3.2, details as in the authors' code (mit-han-lab/once-for-all): five stages of 2 to 4 blocks, each
with its own kernel size and expansion; widths, strides, activations and squeeze-excites as in MobileNetV3-Large.
Fixed: stem 16, a first block without expansion, 960 features, hidden 1280. The authors' hidden layer has no bias,
MobileNetV3's has one: 1,280 parameters more than theirs, the same MACs. For prediction and calibration: there is no
supernet of it here.
"""

from nas.ops import Act, Conv, Head, InvertedResidual, Shape, make_divisible
from nas.space.mbconv import BlockOptions, MBSpace, MBStage, quarter_of_expanded

STAGES: tuple[tuple[int, int, Act, bool], ...] = (  # channels, stride, activation, squeeze-excite
    (24, 2, "relu", False),
    (40, 2, "relu", True),
    (80, 2, "hswish", False),
    (112, 1, "hswish", True),
    (160, 2, "hswish", True),
)


def once_for_all(name: str, width: float = 1.0) -> MBSpace:
    """Return the space with all widths times `width`; the authors released 1.0 and 1.2."""

    def wide(channels: int) -> int:
        return make_divisible(channels * width)

    return MBSpace(
        name=name,
        input_shape=Shape(224, 224, 3),
        num_classes=1000,
        front=(Conv(wide(16), 3, 2, "hswish"), InvertedResidual(wide(16), 0, 3, 1, "relu", residual=True)),
        stages=tuple(
            MBStage(wide(channels), stride, (2, 3, 4), BlockOptions((3, 5, 7), (3, 4, 6), (squeeze_excite,)), act)
            for channels, stride, act, squeeze_excite in STAGES
        ),
        squeeze=quarter_of_expanded,
        last=Conv(wide(960), 1, 1, "hswish"),
        head=Head(wide(1280), hidden_norm=False, act="hswish"),
    )


SPACE = once_for_all("ofa_mbv3")
