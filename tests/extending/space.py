"""A search space: two stages of UIB blocks, filters and depths, and all depthwise options in every block."""

from nas.ops import Shape
from nas.space.choices import stage
from nas.space.staged import StagedSpace

SPACE = StagedSpace(
    name="two_stages",
    input_shape=Shape(96, 96, 3),
    num_classes=4,
    stem_filters=(16, 32),
    fused_filters=(32, 48),
    fused_expansions=(1.0, 2.0),
    stages=(stage(filters=(48, 64, 96), depths=(1, 2)), stage(filters=(96, 128, 160), depths=(1, 2, 3))),
    features=128,
    hidden=256,
)
