"""Once-for-all MobileNetV3 (Cai et al. 2020), https://arxiv.org/abs/1908.09791.

The space of section 3.2, details as in the authors' code (mit-han-lab/once-for-all): five stages of 2 to 4 blocks, each
with its own kernel size and expansion; widths, strides, activations and squeeze-excites as in MobileNetV3-Large.
Fixed: stem 16, a first block without expansion, 960 features, hidden 1280. The authors' hidden layer has no bias,
MobileNetV3's has one: 1,280 parameters more than theirs, the same MACs.
"""

from nas.ops import Act, Head, Shape, make_divisible
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices, quarter_of_expanded
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

STAGES: tuple[tuple[int, int, Act, bool], ...] = (  # channels, stride, activation, squeeze-excite
    (24, 2, "relu", False),
    (40, 2, "relu", True),
    (80, 2, "hswish", False),
    (112, 1, "hswish", True),
    (160, 2, "hswish", True),
)


def once_for_all(name: str, width: float = 1.0) -> StagedSpace:
    """Return the space with all widths times `width`; the authors released 1.0 and 1.2."""

    def wide(channels: int) -> int:
        return make_divisible(channels * width)

    def block(squeeze_excite: bool) -> InvertedResidualChoices:
        return InvertedResidualChoices((3, 5, 7), (3, 4, 6), (squeeze_excite,), quarter_of_expanded)

    first = InvertedResidualChoices((3,), (1,), (False,))
    return StagedSpace(
        name=name,
        input_shape=Shape(224, 224, 3),
        num_classes=1000,
        stages=(
            Single("stem", ConvChoices(), filters=(wide(16),), stride=2, acts=("hswish",)),
            Single("first", first, filters=(wide(16),), acts=("relu",), residual=True),
            *(
                stack(f"stage{s}", (wide(channels),), (2, 3, 4), block(excited), stride=stride, acts=(act,))
                for s, (channels, stride, act, excited) in enumerate(STAGES)
            ),
        ),
        tail=(Single("features", ConvChoices((1,)), filters=(wide(960),), acts=("hswish",)),),
        head=Head(wide(1280), hidden_norm=False, act="hswish"),
    )


SPACE = once_for_all("ofa_mbv3")
