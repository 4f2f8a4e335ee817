"""A small UIB space (MobileNetV4, arXiv 2404.10518, section 6.1) that compiles in seconds, for `--preset smoke`.

Two stages, the second of one to four blocks. All four kinds of UIB block occur; where there is a stride, only those
with the stride on the middle depthwise. It reaches the latency of MobileNetV4-Conv-S on all shipped targets but
titan-rtx, and serves to test the software, not to find networks.
"""

from nas.ops.uib import UIBChoices
from nas.space.forms import stack
from search_spaces.uib import uib_space

FIRST = UIBChoices(((0, 3), (3, 3)))
OTHER = UIBChoices(((0, 0), (0, 3), (3, 0), (3, 3)))

SPACE = uib_space(
    "uib_smoke",
    (
        stack("stage0", (64, 96, 128), (1,), FIRST),
        stack("stage1", (128, 160, 192, 256), (1, 2, 3, 4), FIRST, OTHER),
    ),
    fused=(32, 48),
    expansions=(1.0, 2.0),
)
