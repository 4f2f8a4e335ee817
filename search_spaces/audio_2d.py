"""Networks for log-mel spectrograms, maps of frames x bands x 1: blocks of MobileNetV4 (arXiv 2404.10518).

Our own, after the finding of Speckhard et al. (arXiv 2202.05397) that a two-dimensional spectrogram behind a
convolution of many filters is the bottleneck of energy and memory: the stem has from 8 filters on, and every block may
have its stride on the depthwise in front of the expansion, so that the wide map is small. For one second at a hop of
10 ms, 40 bands and 12 classes the smallest networks have less than 10,000 parameters and need less than 16 KiB for
activations in int8; the largest suit a phone. Of waveforms, --hop-ms and --bands with several values are decisions too:
strides in time and band.
"""

from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.uib import ALL_DW, STRIDED_DW, UIBChoices
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

EXPANSIONS = (1.0, 2.0, 4.0)
STRIDED, ANY = UIBChoices(STRIDED_DW, EXPANSIONS), UIBChoices(ALL_DW, EXPANSIONS)

SPACE = StagedSpace(
    name="audio-2d",
    input_shape=Shape(98, 40, 1),
    num_classes=12,
    stages=(
        Single("stem", ConvChoices((3, 5)), filters=(8, 24, 40, 64), stride=2),
        stack("stage0", (16, 32, 48), (1, 2), STRIDED, ANY),
        stack("stage1", (16, 32, 48, 64), (1, 2, 3), STRIDED, ANY),
        stack("stage2", (32, 48, 64, 96, 128), (1, 2, 3), STRIDED, ANY),
    ),
    head=Head(),
    proxy_width=0.5,
)
