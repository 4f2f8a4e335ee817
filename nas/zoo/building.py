"""What the block tables of the reference networks share: the builder's type, widths and stages of bottlenecks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Gate, InvertedResidual, Op, Shape, make_divisible

Builder = Callable[[Shape, int, float], ArchSpec]  # input shape, number of classes, width multiplier
Stages = list[tuple[Op, ...]]


class StageRow(NamedTuple):
    """One stage of bottlenecks: the stride is the first one's, the squeeze-excite of each a share of its input."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    out: int
    excite: float = 0.0


class BlockStyle(NamedTuple):
    """What all bottlenecks of a network have in common."""

    act: Act
    se_act: Act = "relu"
    se_gate: Gate = "sigmoid"


def scaled_width(channels: int, width: float) -> int:
    """Return `channels` times the width multiplier, a multiple of 8."""
    if not 0 < width <= 16:
        raise InvalidInput(f"a width multiplier must lie above 0 and up to 16, got {width}")
    return make_divisible(channels * width)


def bottlenecks(rows: Sequence[StageRow], before: int, width: float, form: BlockStyle) -> Stages:
    """Return a stage per row for an input of `before` channels, widths scaled.

    A stage never starts with a residual: the tables change the width or the stride there.
    """
    stages: Stages = []
    for row in rows:
        stage: list[Op] = []
        for i in range(row.repeats):
            out, expanded = scaled_width(row.out, width), before * row.expansion if row.expansion > 1 else 0
            squeezed = max(1, int(before * row.excite)) if row.excite else 0
            gate = (form.se_act, form.se_gate) if squeezed else ()
            stride = 1 if i else row.stride
            stage.append(InvertedResidual(out, expanded, row.kernel_size, stride, form.act, squeezed, i > 0, *gate))
            before = out
        stages.append(tuple(stage))
    return stages
