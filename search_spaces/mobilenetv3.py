"""MobileNetV3-like space of TuNAS (Bender et al. 2020), https://arxiv.org/abs/2008.06120, around arXiv 1905.02244.

Theirs: five stages of up to four inverted residuals with strides 2, 2, 2, 1, 2; kernel sizes 3, 5, 7 and a
squeeze-excite or none, per block; base filters 16 to 256 in powers of 2, times multipliers around 1; a hidden layer
without normalisation. Ours: three multipliers instead of seven and expansions 3, 4, 6 instead of 1 to 6; filters in
multiples of 16, so that a proxy of width 0.25 has as many options; ReLU or h-swish as a decision of each stage,
which TuNAS fixes; one decision for the features in front of the head.
"""

from nas.ops import Act, Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices, quarter_of_expanded
from nas.space.forms import Single, around, stack
from nas.space.staged import StagedSpace

ACTS: tuple[Act, ...] = ("relu", "hswish")
MULTIPLIERS = (0.75, 1.0, 1.5)
STAGES = ((24, 2), (40, 2), (80, 2), (112, 1), (160, 2))  # channels of MobileNetV3-Large, stride

BLOCK = InvertedResidualChoices((3, 5, 7), (3, 4, 6), (False, True), quarter_of_expanded)
FIRST = InvertedResidualChoices((3, 5, 7), (1,))

SPACE = StagedSpace(
    name="mobilenetv3",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stages=(
        Single("stem", ConvChoices(), filters=(16,), stride=2, acts=("hswish",)),
        Single("first", FIRST, filters=(16,), residual=True),
        *(
            stack(f"stage{s}", around(channels, MULTIPLIERS), (1, 2, 3, 4), BLOCK, stride=stride, acts=ACTS)
            for s, (channels, stride) in enumerate(STAGES)
        ),
    ),
    tail=(Single("features", ConvChoices((1,)), filters=(480, 720, 960), acts=("hswish",)),),
    head=Head(1280, hidden_norm=False, act="hswish"),
)
