"""MBConv space of Accel-NASBench (Ahmad et al. 2024), https://arxiv.org/abs/2404.08005, appendix B.

The skeleton of EfficientNet-B0 (arXiv 1905.11946): seven stages of fixed widths and strides; per stage one expansion,
kernel size, number of layers and squeeze-excite (a quarter of the block's input), the same in all its blocks.
EfficientNet-B0 is a member but for its activations.
"""

from nas.ops import Act, Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.inverted_residual import InvertedResidualChoices
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

ACT: Act = "relu"  # the benchmark does not state it, and no cost here depends on it
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
LAYERS = (*[(1, 2, 3)] * 5, (1, 2, 3, 4), (1, 2, 3))
BLOCK = InvertedResidualChoices((3, 5), (1, 4, 6), (False, True))

SPACE = StagedSpace(
    name="mbconv_imagenet",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stages=(
        Single("stem", ConvChoices(), filters=(32,), stride=2, acts=(ACT,)),
        *(
            stack(f"stage{s}", (width,), layers, BLOCK, stride=stride, acts=(ACT,), shared=True)
            for s, (width, stride, layers) in enumerate(zip(WIDTHS, STRIDES, LAYERS, strict=True))
        ),
    ),
    tail=(Single("features", ConvChoices((1,)), filters=(1280,), acts=(ACT,)),),
    head=Head(),
)
