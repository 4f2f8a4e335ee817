"""Networks for log-mel features as sequences, bands as channels: blocks of MobileNetV4 (arXiv 2404.10518) over time.

Our own. All windows are k x 1: the depthwise convolutions see time alone, the 1x1 convolutions mix bands, as in
TC-ResNet (arXiv 1904.03814), where this makes a keyword spotter's maps small from the first layer on. For one second at
a hop of 10 ms, 40 bands and 12 classes the smallest networks have less than 10,000 parameters and need less than 16 KiB
for activations in int8; the largest suit a phone. Of waveforms, --hop-ms and --bands with several values are decisions
too. Channels are those of the device: supernet and proxies train at width 1.
"""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.uib import UIBChoices
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

EXPANSIONS = (1.0, 2.0, 4.0)
SIZES = (0, 3, 5, 9)  # windows over time reach further than those of images at the same cost
ANY = UIBChoices(tuple((start, middle) for start in SIZES for middle in SIZES), EXPANSIONS)
STRIDED = UIBChoices(ANY.dws[1:], EXPANSIONS)  # all but the one without a depthwise

SPACE = StagedSpace(
    name="audio-1d",
    input_shape=Shape(98, 1, 40),
    num_classes=12,
    stages=(
        Single("stem", ConvChoices((1, 3, 5)), filters=(16, 32, 48, 64)),
        stack("stage0", (16, 32, 48, 64), (1, 2), STRIDED, ANY),
        stack("stage1", (16, 32, 48, 64, 96), (1, 2, 3), STRIDED, ANY),
        stack("stage2", (32, 48, 64, 96, 128, 160), (1, 2, 3), STRIDED, ANY),
    ),
    head=Head(),
    proxy_width=1.0,
)
