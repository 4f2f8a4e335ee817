"""Networks for microcontrollers (our own space), of the blocks of MobileNetV2, https://arxiv.org/abs/1801.04381.

After MCUNet (arXiv 2007.10319), whose spaces shrink inverted residuals and the input until both memories hold them: a
stem of 8 channels, three stages of inverted residuals (expansion 1 is a separable convolution), no features layer and
no hidden layer. At 48 px and 10 classes the smallest need less than 20 KB for activations in int8 and 20,000
parameters, the largest 700,000. Filters are multiples of 16, which a proxy of width 0.25 keeps apart; the
networks are small enough for `--proxy-width 1`, at which the supernet trains them themselves.
"""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

BLOCK = InvertedResidualChoices((3, 5), (1, 2, 4, 6))

SPACE = StagedSpace(
    name="tiny",
    input_shape=Shape(48, 48, 3),
    num_classes=10,
    stages=(
        Single("stem", ConvChoices(), filters=(8,), stride=2, acts=("relu6",)),
        stack("stage0", (16, 32), (1, 2), BLOCK, acts=("relu6",)),
        stack("stage1", (32, 48, 64), (1, 2, 3), BLOCK, acts=("relu6",)),
        stack("stage2", (48, 64, 96, 128), (1, 2, 3), BLOCK, acts=("relu6",)),
    ),
    head=Head(),
)
