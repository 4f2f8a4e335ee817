"""Universal Inverted Bottleneck space of MobileNetV4 (Qin et al. 2024), https://arxiv.org/abs/2404.10518, section 6.1.

The paper publishes the two-stage procedure and the blocks, not the lists of filters and depths: those below are our
own, chosen so that the space reaches, at 224 px, from below MobileNetV4-Conv-S to above Conv-M on every shipped target.
Multiples of 16, so that a proxy of width 0.25 has as many different options.
"""

from nas.ops import Shape
from nas.space.choices import stage
from nas.space.staged import StagedSpace

SPACE = StagedSpace(
    name="uib",
    input_shape=Shape(224, 224, 3),
    num_classes=1000,
    stem_filters=(16, 32),
    fused_filters=(32, 48, 64),
    fused_expansions=(1.0, 2.0, 4.0),
    stages=(
        stage(filters=(48, 64, 80, 96), depths=(1, 2, 3, 4)),
        stage(filters=(80, 96, 128, 160, 192), depths=(2, 3, 4, 6, 8)),
        stage(filters=(112, 128, 160, 192, 256, 320), depths=(2, 4, 6, 8, 11)),
    ),
)
