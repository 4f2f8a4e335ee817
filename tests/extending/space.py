"""A search space: two stages of UIB blocks, filters and depths, and all depthwise options in every block."""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.uib import STRIDED_DW, UIBChoices
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

STRIDED, ANY = UIBChoices(STRIDED_DW), UIBChoices()

SPACE = StagedSpace(
    name="two_stages",
    input_shape=Shape(96, 96, 3),
    num_classes=4,
    stages=(
        Single("stem", ConvChoices(), filters=(16, 32), stride=2),
        Single("fused", FusedIBChoices((1.0, 2.0)), filters=(32, 48), stride=2),
        stack("stage0", (48, 64, 96), (1, 2), STRIDED, ANY),
        stack("stage1", (96, 128, 160), (1, 2, 3), STRIDED, ANY),
    ),
    tail=(Single("features", ConvChoices((1,)), filters=(128,)),),
    head=Head(256),
)
