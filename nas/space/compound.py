"""Compound scaling: a network deeper, wider and for larger images (EfficientNet, arXiv 1905.11946, section 3.3).

Pure functions `ArchSpec -> ArchSpec`. For a coefficient phi, depth grows by 1.2^phi, width by 1.1^phi and resolution by
1.15^phi, so that MACs grow by about 2^phi; a negative phi makes the network smaller. The authors' rules of rounding:
repeats of a stage up, channels to multiples of 8, and the channels inside a block in proportion to those of its input.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Op, Shape, make_divisible
from nas.ops.log_mel import LARGEST_FFT
from nas.protocols import LatencyModel
from nas.space.scaling import SMALLEST_MAP

LARGEST_PHI = 10.0  # and smallest: its negative
LARGEST_COEFFICIENT = 4.0
PHI_STEPS = 100  # to 1: the steps in which phi is sought for a latency budget


@dataclass(frozen=True)
class Coefficients:
    """By how much depth, width and resolution grow for phi = 1; 1 leaves one as it is. Defaults: the paper's."""

    depth: float = 1.2
    width: float = 1.1
    resolution: float = 1.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 1 <= value <= LARGEST_COEFFICIENT:  # NaN is not
                raise InvalidInput(f"{name} must lie between 1 and {LARGEST_COEFFICIENT:g}, got {value}")
        if self.macs == 1:
            raise InvalidInput("depth, width and resolution are all 1, which scales nothing; give one above 1")

    @property
    def macs(self) -> float:
        """By how much MACs grow for phi = 1, but for rounding: depth x width^2 x resolution^2."""
        return self.depth * self.width**2 * self.resolution**2

    def to_the(self, phi: float) -> "CompoundScale":
        """Return the multipliers for `phi`; `InvalidInput` unless it lies between -10 and 10."""
        if not -LARGEST_PHI <= phi <= LARGEST_PHI:  # NaN does not
            raise InvalidInput(f"phi must lie between {-LARGEST_PHI:g} and {LARGEST_PHI:g}, got {phi}")
        return CompoundScale(self.depth**phi, self.width**phi, self.resolution**phi)


@dataclass(frozen=True)
class CompoundScale:
    """Multipliers of the depth, the width and the resolution of a network."""

    depth: float
    width: float
    resolution: float


PAPER = Coefficients()


def compound_scaled(arch: ArchSpec, phi: float, base: Coefficients = PAPER) -> ArchSpec:
    """Return `arch` scaled by the coefficient `phi`; its name says so. Raises `InvalidInput` as `scaled` does."""
    return replace(scaled(arch, base.to_the(phi)), name=f"{arch.name}-phi{phi:g}")


def scaled(arch: ArchSpec, scale: CompoundScale) -> ArchSpec:
    """Return `arch` with its depth, width and resolution multiplied.

    Only residual blocks are repeated; stem, feature layer and head stay single. The hidden layer of the head is scaled,
    the number of classes is not; a waveform and its log-mel front end stay as they are. Raises `InvalidInput` where the
    image would become too small, or the network larger than any machine holds.
    """
    deep = tuple(
        tuple(op for run in _runs(stage, shapes) for op in _deepened(*run, scale.depth))
        for stage, shapes in _with_input_shapes(arch)
    )
    heard = any(op.is_front_end for stage in arch.stages for op in stage)
    height, width = (round(side * (1 if heard else scale.resolution)) for side in arch.input_shape[:2])
    is_sequence = arch.input_shape.size.is_sequence
    if height < SMALLEST_MAP or (width < SMALLEST_MAP and not is_sequence):
        what = (
            f"sequence would have {height} steps; it must have"
            if is_sequence
            else (f"image would have {height} x {width} px; it must have")
        )
        sides = "" if is_sequence else " on each side"
        raise InvalidInput(
            f"the {what} at least {SMALLEST_MAP}{sides}: choose a larger phi, or a resolution coefficient nearer to 1"
        )
    before = after = arch.input_shape.channels
    stages = []
    for stage in deep:
        ops = []
        for op in stage:
            ops.append(_widened(op, before, after, scale.width))
            before, after = _out_channels(op, before), _out_channels(ops[-1], after)
        stages.append(tuple(ops))
    return replace(
        arch,
        input_shape=Shape(height, 1 if is_sequence else width, arch.input_shape.channels),
        stages=tuple(stages),
        head=arch.head.scaled(lambda channels: _wide(channels, scale.width)),
    )


def largest_phi(arch: ArchSpec, model: LatencyModel, budget_ms: float, base: Coefficients = PAPER) -> float:
    """Return the largest phi, in steps of 0.01, whose network `model` predicts to take at most `budget_ms`.

    Latency grows with phi, as depth, width and resolution do. Raises `InvalidInput` where even the smallest network
    takes longer, or the largest has room left.
    """

    def fits(step: int) -> bool:
        latency = _latency(arch, model, step / PHI_STEPS, base)
        return latency is not None and latency <= budget_ms

    def exists(step: int) -> bool:
        return _latency(arch, model, step / PHI_STEPS, base) is not None

    limit = round(LARGEST_PHI * PHI_STEPS)
    least = _first(exists, -limit, 0)  # smaller images than at that phi there are none
    if not fits(least):
        smallest = _latency(arch, model, least / PHI_STEPS, base)
        raise InvalidInput(
            f"{arch.name} scaled down to phi {least / PHI_STEPS:g} still takes {smallest:.4g} ms, more than the "
            f"{budget_ms:g} ms allowed; ask for more, or start from a smaller network"
        )
    if fits(limit):
        raise InvalidInput(
            f"{arch.name} takes less than {budget_ms:g} ms even at phi {LARGEST_PHI:g}; ask for less, or give --phi"
        )
    return (_first(lambda step: not fits(step), least, limit) - 1) / PHI_STEPS


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first number from `low` on for which `holds`, which it does for `high` and all after the first."""
    if holds(low):
        return low
    while high - low > 1:  # holds for high, not for low
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _latency(arch: ArchSpec, model: LatencyModel, phi: float, base: Coefficients) -> float | None:
    """Return the predicted latency at `phi`, None where there is no such network: too small or too large."""
    try:
        return model.predict_ms(compound_scaled(arch, phi, base))
    except InvalidInput:
        return None


# --------------------------------------------------------------------------------------------------------------- depth


def _with_input_shapes(arch: ArchSpec) -> list[tuple[tuple[Op, ...], list[Shape]]]:
    """Return each stage with the input shapes of its ops."""
    shapes = iter([shape for _, _, shape in arch.iter_ops()])
    return [(stage, [next(shapes) for _ in stage]) for stage in arch.stages]


def _runs(stage: tuple[Op, ...], shapes: Sequence[Shape]) -> Iterator[tuple[tuple[Op, ...], int]]:
    """Yield the ops of a stage in runs of one output shape, each with the channels of its input.

    Such a run is what the authors repeat: a block that changes stride or width, and those behind it. Some specs have
    several runs in a stage.
    """
    changes = [op.out_shape(shape) != shape for op, shape in zip(stage, shapes, strict=True)]
    starts = [i for i, changed in enumerate(changes) if changed or not i]
    for start, end in pairwise([*starts, len(stage)]):
        yield stage[start:end], shapes[start].channels


def _deepened(run: tuple[Op, ...], in_channels: int, depth: float) -> tuple[Op, ...]:
    """Return a run with `depth` times as many residual blocks, rounded up; the block that changes the shape counts.

    Blocks are added behind, the last ones again in their order, and taken away from behind; a block without residual is
    never taken away.
    """
    blocks = [i for i, op in enumerate(run) if "residual" in op.roles()]  # others, plain convolutions say, stay single
    extra = math.ceil(round(len(blocks) * depth, 9)) - len(blocks)  # 5 * 1.2 is 6, whatever the last bit says
    residual = [i for i in blocks if getattr(run[i], "residual", False)]
    if extra <= 0:
        removed = set(residual[max(0, len(residual) + extra) :])
        return tuple(op for i, op in enumerate(run) if i not in removed)
    of_first = in_channels if blocks[0] == 0 else _out_channels(run[0], in_channels)
    again = [run[i] for i in residual] or [_as_residual(run[blocks[0]], of_first)]
    copies = again * -(-extra // len(again))
    end = blocks[-1] + 1
    return (*run[:end], *copies[len(copies) - extra :], *run[end:])


def _as_residual(block: Op, in_channels: int) -> Op:
    """Return the block that follows `block` in its run: stride 1, residual, inner channels in proportion."""
    channels = _out_channels(block, in_channels)
    following = block.scaled(lambda inner: _in_proportion(inner, in_channels, channels))
    fixed = {"residual": True, "stride": 1, "out_channels": channels}
    return replace(following, **{name: value for name, value in fixed.items() if name in block.roles()})


# --------------------------------------------------------------------------------------------------------------- width


def _out_channels(op: Op, in_channels: int) -> int:
    return op.out_shape(Shape(LARGEST_FFT if op.is_front_end else 1, 1, in_channels)).channels


def _widened(op: Op, before: int, after: int, width: float) -> Op:
    """Return the op with wider output; inner channels grow as those of its input, from `before` to `after`."""
    wide = op.scaled(lambda channels: _in_proportion(channels, before, after))
    if "out_channels" not in op.roles():
        return wide
    out = after if getattr(op, "residual", False) else _wide(op.out_channels, width)  # type: ignore[attr-defined]
    changed = {"out_channels": out}
    return replace(wide, **changed)


def _wide(channels: int, width: float) -> int:
    return channels if width == 1 else make_divisible(channels * width)


def _in_proportion(channels: int, before: int, after: int) -> int:
    """Return `channels` times after / before where that is a whole number, else the nearest multiple of 8."""
    whole, rest = divmod(channels * after, before)
    return whole if rest == 0 and whole else make_divisible(channels * after / before)
