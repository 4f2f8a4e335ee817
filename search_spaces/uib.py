"""Universal Inverted Bottleneck space of MobileNetV4 (Qin et al. 2024), https://arxiv.org/abs/2404.10518, section 6.1.

The paper publishes the two-stage procedure and the blocks, not the lists of filters and depths: those below are our
own, chosen so that the space reaches, at 224 px, from below MobileNetV4-Conv-S to above Conv-M on every shipped target.
Multiples of 16, so that a proxy of width 0.25 has as many different options.
"""

from nas.ops import Head, Shape
from nas.ops.choices import Choices
from nas.ops.conv import ConvChoices
from nas.ops.fused_ib import FusedIBChoices
from nas.ops.uib import ALL_DW, COARSE_EXPANSION, STRIDED_DW, UIBChoices
from nas.space.choices import Sequence
from nas.space.forms import Single, Stack, stack
from nas.space.staged import StagedSpace

INPUT = Shape(224, 224, 3)


STAGES = (  # of the space `uib`: options of filters, of depths
    ((48, 64, 80, 96), (1, 2, 3, 4)),
    ((80, 96, 128, 160, 192), (2, 3, 4, 6, 8)),
    ((112, 128, 160, 192, 256, 320), (2, 4, 6, 8, 11)),
)


def uib_stage(
    number: int, filters: tuple[int, ...], depths: tuple[int, ...], stride: int = 2, *,
    expansions: tuple[float, ...] = (COARSE_EXPANSION,), behind: Choices | None = None,
) -> Stack:  # fmt: skip
    """Return a stage in which every block may take every depthwise option that its stride allows.

    `expansions` are further options of every block; `behind` is what stands behind each.
    """
    first = UIBChoices(STRIDED_DW if stride > 1 else ALL_DW, expansions)
    other = UIBChoices(expansions=expansions)
    if behind is None:
        return stack(f"stage{number}", filters, depths, first, other, stride)
    return stack(f"stage{number}", filters, depths, Sequence((first, behind)), Sequence((other, behind)), stride)


def uib_space(
    name: str, stages: tuple[Stack, ...], *, stem: tuple[int, ...] = (16, 32), fused: tuple[int, ...] = (32, 48, 64),
    expansions: tuple[float, ...] = (1.0, 2.0, 4.0), features: int = 960, hidden: int = 1280,
    input_shape: Shape = INPUT, num_classes: int = 1000,
) -> StagedSpace:  # fmt: skip
    """Return a space with the stem and the head of MobileNetV4 around `stages`: options of filters, and widths."""
    return StagedSpace(
        name=name,
        input_shape=input_shape,
        num_classes=num_classes,
        stages=(
            Single("stem", ConvChoices(), filters=stem, stride=2),
            Single("fused", FusedIBChoices(expansions), filters=fused, stride=2),
            *stages,
        ),
        tail=(Single("features", ConvChoices((1,)), filters=(features,)),),
        head=Head(hidden),
    )


SPACE = uib_space("uib", tuple(uib_stage(number, *options) for number, options in enumerate(STAGES)))
