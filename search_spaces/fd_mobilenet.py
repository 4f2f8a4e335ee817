"""FD-MobileNet space (Qin et al. 2018), https://arxiv.org/abs/1802.03750: where separable convolutions stride.

Theirs: FD-MobileNet reaches a 32nd of the input within its first layers, MobileNetV1 (arXiv 1704.04861) only
towards its end; both patterns are options of one decision here, and FD-MobileNet 1x and 0.5x are members, as is
MobileNetV1 with ReLU for ReLU6. Ours: that this is searched; per stage the filters times 0.5, 1 or 1.5 and the depth,
per block the kernel size.
"""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices, SeparableConvChoices
from nas.space.forms import Single, around, stack
from nas.space.staged import StagedSpace

MULTIPLIERS = (0.5, 1.0, 1.5)
STAGES = ((64, (1,)), (128, (1, 2, 3)), (256, (1, 2, 3)), (512, (2, 3, 4, 5, 6)), (1024, (1, 2)))  # channels, depths
FAST = (2, 2, 2, 2, 2, 1)  # strides of the stem and of the stages: FD-MobileNet
SLOW = (2, 1, 2, 2, 2, 2)  # MobileNetV1

BLOCK = SeparableConvChoices((3, 5))

SPACE = StagedSpace(
    name="fd-mobilenet",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stages=(
        Single("stem", ConvChoices(), filters=(16, 32), stride=2),
        *(
            stack(f"stage{s}", around(channels, MULTIPLIERS), depths, BLOCK)
            for s, (channels, depths) in enumerate(STAGES)
        ),
    ),
    head=Head(),
    stride_patterns=(FAST, SLOW),
)
