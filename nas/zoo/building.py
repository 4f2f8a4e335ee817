"""Common parts of the reference networks: the type of their builders, width multipliers, stages of bottlenecks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Gate, InvertedResidual, Op, Shape, make_divisible

Builder = Callable[[Shape, int, float], ArchSpec]  # input shape, number of classes, width multiplier
Stages = list[tuple[Op, ...]]


class StageRow(NamedTuple):
    """One stage of bottlenecks: `stride` is that of its first block, `se_ratio` relates to the input of each block."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    out: int
    se_ratio: float = 0.0
    first_residual: bool = False  # of the first block, where neither stride nor width changes


class BlockStyle(NamedTuple):
    """The activations and the gate that all bottlenecks of a network share."""

    act: Act
    se_act: Act = "relu"
    se_gate: Gate = "sigmoid"


def scaled_width(channels: float, width: float) -> int:
    """Return `channels` times the width multiplier, a multiple of 8."""
    if not 0 < width <= 16:
        raise InvalidInput(f"a width multiplier must lie above 0 and up to 16, got {width}")
    return make_divisible(channels * width)


def bottlenecks(rows: Sequence[StageRow], in_channels: int, width: float, style: BlockStyle) -> Stages:
    """Return a stage of bottlenecks per row for an input of `in_channels` channels, widths scaled.

    A stage starts with a residual only where its row says so: most tables change the width or the stride there.
    """
    stages: Stages = []
    for row in rows:
        stage: list[Op] = []
        for i in range(row.repeats):
            out, expanded = scaled_width(row.out, width), in_channels * row.expansion if row.expansion > 1 else 0
            residual = i > 0 or row.first_residual
            se_channels = max(1, int(in_channels * row.se_ratio)) if row.se_ratio else 0
            se_style = (style.se_act, style.se_gate) if se_channels else ()
            stride = 1 if i else row.stride
            stage.append(
                InvertedResidual(out, expanded, row.kernel_size, stride, style.act, se_channels, residual, *se_style)
            )
            in_channels = out
        stages.append(tuple(stage))
    return stages
