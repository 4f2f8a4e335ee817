"""The space that searches of the pages are run on: it compiles quickly, and reaches 0.8 ms on an Edge TPU at 224 px."""

from nas.ops import Shape
from nas.space.choices import BlockChoices, StageChoices
from nas.space.staged import StagedSpace

BLOCK = BlockChoices(((0, 3), (3, 3)))

SPACE = StagedSpace(
    name="pages",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stem_filters=(16, 32),
    fused_filters=(32, 48),
    fused_expansions=(1.0,),
    stages=(
        StageChoices(filters=(64, 128), depths=(1,), blocks=(BLOCK,)),
        StageChoices(filters=(256, 320, 384, 448, 512), depths=(1, 2), blocks=(BLOCK, BLOCK)),
    ),
)
