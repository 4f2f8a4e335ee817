"""MixNet space (Tan and Le 2019), https://arxiv.org/abs/1907.09595: mixed kernel sizes within a depthwise convolution.

Theirs: inverted residuals whose depthwise convolution has one to four of the kernel sizes 3, 5, 7, 9, expansion,
squeeze-excite and the skeleton of MixNet-S (five stages with strides 2, 2, 2, 1, 2; 1536 features). Ours: the lists of
filters, around those of MixNet-S and M in multiples of 16, of depths and of activations, which the paper does not
publish; one squeeze-excite width (a quarter of the input); 1x1 convolutions that are not grouped.
"""

from nas.ops import Act, Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.ops.mixconv import MixConvChoices
from nas.space.forms import Single, around, stack
from nas.space.staged import StagedSpace

ACTS: tuple[Act, ...] = ("relu", "swish")
MULTIPLIERS = (0.75, 1.0, 1.3)
STAGES = ((24, 2, 3), (40, 2, 4), (80, 2, 4), (120, 1, 4), (200, 2, 4))  # channels of MixNet-S, stride, most blocks
KERNEL_SIZES = ((3,), (3, 5), (3, 5, 7), (3, 5, 7, 9))

BLOCK = MixConvChoices(KERNEL_SIZES, (3, 6), (False, True))

SPACE = StagedSpace(
    name="mixnet",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stages=(
        Single("stem", ConvChoices(), filters=(16,), stride=2),
        Single("first", InvertedResidualChoices((3,), (1,)), filters=(16,), residual=True),
        *(
            stack(
                f"stage{s}", around(channels, MULTIPLIERS), tuple(range(1, depth + 1)), BLOCK, stride=stride, acts=ACTS
            )
            for s, (channels, stride, depth) in enumerate(STAGES)
        ),
    ),
    tail=(Single("features", ConvChoices((1,)), filters=(1536,)),),
    head=Head(),
)
