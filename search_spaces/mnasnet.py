"""Factorised hierarchical space of MnasNet (Tan et al. 2019), https://arxiv.org/abs/1807.11626, section 4.1.

Theirs: seven stages around MobileNetV2, each with one decision for all its layers: regular convolution, separable
convolution or inverted residual, kernel size 3 or 5, squeeze-excite 0 or 0.25, skip or none, one layer more or less,
filters times 0.75, 1 or 1.25. Ours: op, kernel size, expansion (3 or 6), squeeze-excite and skip are one decision, of
the combinations that exist: regular convolutions have neither squeeze-excite nor skip, a skip is searched in stages
that have two layers or more, and pooling as a skip is left out; filters in multiples of 16, so that a proxy of width
0.25 has as many options.
"""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.space.choices import Switch
from nas.space.forms import Single, Stack, around, stack
from nas.space.staged import StagedSpace

# Channels, layers and stride of the stages of MobileNetV2.
STAGES = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
MULTIPLIERS = (0.75, 1.0, 1.25)


def block(skips: tuple[bool, ...]) -> Switch:
    """Return the choice of an op: inverted residual (expansion 1 is a separable convolution) or convolution."""
    residual = InvertedResidualChoices((3, 5), (6, 3, 1), (False, True), se_gate="sigmoid", skips=skips)
    return Switch((residual, ConvChoices((3, 5))))


def stage(number: int, channels: int, layers: int, stride: int) -> Stack:
    """Return a stage of `layers` layers, one more or one less, with one decision for all of them."""
    depths = tuple(range(max(1, layers - 1), layers + 2))
    skips = (True, False) if depths[0] > 1 else (True,)
    return stack(f"stage{number}", around(channels, MULTIPLIERS), depths, block(skips), stride=stride, shared=True)


SPACE = StagedSpace(
    name="mnasnet",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stages=(
        Single("stem", ConvChoices(), filters=(32,), stride=2),
        *(stage(number, *row) for number, row in enumerate(STAGES)),
    ),
    tail=(Single("features", ConvChoices((1,)), filters=(1280,)),),
    head=Head(),
)
