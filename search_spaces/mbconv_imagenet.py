"""MBConv space of Accel-NASBench (Ahmad et al. 2024), https://arxiv.org/abs/2404.08005, appendix B.

The skeleton of EfficientNet-B0 (arXiv 1905.11946): seven stages of fixed widths and strides; per stage one expansion,
kernel size, number of layers and squeeze-excite (a quarter of the block's input), the same in all its blocks.
EfficientNet-B0 is a member but for its activations. For prediction and calibration: there is no supernet of it here.
"""

from nas.ops import Act, Conv, Head, Shape
from nas.space.mbconv import BlockOptions, MBSpace, MBStage, quarter_of_input

ACT: Act = "relu"  # the benchmark does not state it, and no cost here depends on it
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
LAYERS = (*[(1, 2, 3)] * 5, (1, 2, 3, 4), (1, 2, 3))

SPACE = MBSpace(
    name="mbconv_imagenet",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    front=(Conv(32, 3, 2, ACT),),
    stages=tuple(
        MBStage(width, stride, layers, BlockOptions((3, 5), (1, 4, 6), (False, True)), ACT, shared_options=True)
        for width, stride, layers in zip(WIDTHS, STRIDES, LAYERS, strict=True)
    ),
    squeeze=quarter_of_input,
    last=Conv(1280, 1, 1, ACT),
    head=Head(),
)
