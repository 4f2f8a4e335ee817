"""A small UIB space (MobileNetV4, arXiv 2404.10518, section 6.1) that compiles in seconds, for `--preset smoke`.

Two stages, the second of one to four blocks. All four kinds of UIB block occur; where there is a stride, only those
with the stride on the middle depthwise. It reaches the latency of MobileNetV4-Conv-S on all shipped targets but
titan-rtx, and serves to test the software, not to find networks.
"""

from nas.ops import Shape
from nas.space.choices import BlockChoices, StageChoices
from nas.space.staged import StagedSpace

FIRST = BlockChoices(((0, 3), (3, 3)))
OTHER = BlockChoices(((0, 0), (0, 3), (3, 0), (3, 3)))

SPACE = StagedSpace(
    name="uib_smoke",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stem_filters=(16, 32),
    fused_filters=(32, 48),
    fused_expansions=(1.0, 2.0),
    stages=(
        StageChoices(filters=(64, 96, 128), depths=(1,), blocks=(FIRST,)),
        StageChoices(filters=(128, 160, 192, 256), depths=(1, 2, 3, 4), blocks=(FIRST, OTHER, OTHER, OTHER)),
    ),
)
