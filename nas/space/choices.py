"""What a search may choose in a stage of UIB blocks: filters, depth, depthwise kernel sizes, expansion ratios."""

from dataclasses import dataclass

DW = tuple[int, int]  # kernel sizes of the start and the middle depthwise of a UIB block, 0 = absent

ALL_DW: tuple[DW, ...] = tuple((start, middle) for start in (0, 3, 5) for middle in (0, 3, 5))

STRIDED_DW: tuple[DW, ...] = tuple(dw for dw in ALL_DW if any(dw))  # for block 0: a stride needs a depthwise

COARSE_DW: DW = (0, 3)  # the coarse search fixes every block to IB k3

COARSE_EXPANSION = 4.0  # ... with expansion 4 (MobileNetV4, section 6.1)


@dataclass(frozen=True)
class BlockChoices:
    """The options of one UIB block: pairs of depthwise kernel sizes, and expansion ratios."""

    dws: tuple[DW, ...]
    expansions: tuple[float, ...] = (COARSE_EXPANSION,)


@dataclass(frozen=True)
class StageChoices:
    """The options of one stage of UIB blocks; `blocks` has one entry for each of the blocks of the deepest stage.

    Block 0 has the stride and no residual connection, the others a residual connection and stride 1.
    """

    filters: tuple[int, ...]
    depths: tuple[int, ...]
    blocks: tuple[BlockChoices, ...]
    stride: int = 2


def stage(filters: tuple[int, ...], depths: tuple[int, ...], stride: int = 2) -> StageChoices:
    """Return a stage in which every block may take every depthwise option that its stride allows."""
    first = BlockChoices(STRIDED_DW if stride > 1 else ALL_DW)
    return StageChoices(filters, depths, (first, *(BlockChoices(ALL_DW),) * (max(depths) - 1)), stride)
