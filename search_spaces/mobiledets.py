"""MobileDets (Xiong et al. 2020), https://arxiv.org/abs/2004.14525, section 3: where regular convolutions pay.

Theirs: each block is one of an inverted residual (kernel size 3 or 5, expansion 4 or 8), a fused one (the same
options) and a Tucker convolution (the same kernel sizes, ratios 0.25 or 0.75 of input and output channels), with ReLU6;
multipliers of the filters of a stage, whose blocks may be left out. Ours: their skeleton as a classifier (a stem, a
first block at half of the resolution, five stages of strides 2, 2, 2, 1, 2); the lists of filters and depths, in
multiples of 16, so that a proxy of width 0.25 has as many options. The networks that the paper searches for CPUs
have squeeze-excites and a swish throughout: `mobiledets(name, act="hswish", excited=True)`, of which inverted
residuals and fused ones have the squeeze-excite.
"""

from nas.ops import Act, Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.inverted_residual import InvertedResidualChoices, quarter_of_expanded
from nas.ops.tucker import TuckerChoices
from nas.space.choices import Switch
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace

STAGES = (  # filters, stride
    ((16, 32, 48), 2),
    ((32, 48, 64, 80), 2),
    ((64, 80, 96, 128), 2),
    ((80, 96, 128, 160), 1),
    ((128, 160, 192, 256), 2),
)
DEPTHS = (1, 2, 3, 4)
KERNEL_SIZES = (3, 5)
EXPANSIONS = (4, 8)
RATIOS = (0.25, 0.75)


def mobiledets(name: str, act: Act = "relu6", excited: bool = False) -> StagedSpace:
    """Return the space with one activation throughout, and with squeeze-excites in all blocks or in none."""
    block = Switch(
        (
            InvertedResidualChoices(KERNEL_SIZES, EXPANSIONS, (excited,), quarter_of_expanded),
            FusedIBChoices(EXPANSIONS, KERNEL_SIZES, (excited,), quarter_of_expanded),
            TuckerChoices(KERNEL_SIZES, RATIOS, RATIOS),
        )
    )
    first = Switch((InvertedResidualChoices((3,), (1,)), TuckerChoices((3,), RATIOS, RATIOS)))
    return StagedSpace(
        name=name,
        input_shape=Shape(224, 224, 3),
        num_classes=1000,
        stages=(
            Single("stem", ConvChoices(), filters=(32,), stride=2, acts=(act,)),
            Single("first", first, filters=(16, 32), acts=(act,)),
            *(
                stack(f"stage{s}", filters, DEPTHS, block, stride=stride, acts=(act,))
                for s, (filters, stride) in enumerate(STAGES)
            ),
        ),
        tail=(Single("features", ConvChoices((1,)), filters=(960,), acts=(act,)),),
        head=Head(),
    )


SPACE = mobiledets("mobiledets")
