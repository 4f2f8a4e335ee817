"""Scale a network: change its input size and number of classes, and its width for the search proxy.

Pure functions `ArchSpec -> ArchSpec`. Costs and latency are those of the target network; the accuracy that a search
sees is that of its proxy, scaled down to what a supernet can afford to train. A network for other images keeps its
strides, so that it is that network; a proxy drops early ones, and its name says that it is one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import LogMel, Op, Shape, Size, SizeLike
from nas.ops.log_mel import Transform

SMALLEST_MAP = 4  # pixels on each side that the last feature map has at least
PROXY = "-proxy-"  # in the name of a proxy, before its resolution
OpT = TypeVar("OpT", bound=Op)
REFERENCE_BANDS = 40  # of the spectrograms that reference networks take of waveforms
WIDTH_STEP = 4  # channels of a proxy are multiples of this


def drop_early_strides(resolution: SizeLike, strides: Sequence[int]) -> tuple[int, ...]:
    """Return `strides` with as many of the earliest ones set to 1 as small images need.

    As many as it takes for an image of `resolution` to end in a feature map of at least `SMALLEST_MAP` px on each side,
    a sequence in as many steps. Raises `InvalidInput` where the input itself is smaller than that.
    """
    shortest = _shortest_side(Size.of(resolution))
    kept = list(strides)
    for i, stride in enumerate(strides):
        last = shortest
        for step in kept:
            last = -(-last // step)
        if last >= SMALLEST_MAP:
            break
        kept[i] = min(stride, 1)
    return tuple(kept)


def _shortest_side(size: Size) -> int:
    """Return the side that decides how many strides an input bears: of a sequence, its steps."""
    shortest = size.height if size.is_sequence else min(size)
    if shortest < SMALLEST_MAP:
        unit = "steps" if size.is_sequence else "px"
        raise InvalidInput(f"the resolution must be at least {SMALLEST_MAP} {unit} on each side, got {size}")
    return shortest


def scale_channels(channels: int, width: float) -> int:
    """Return `channels` times `width` to the nearest multiple of `WIDTH_STEP`; unchanged at width 1, 0 stays 0."""
    if width == 1 or not channels:
        return channels
    return max(WIDTH_STEP, int(channels * width + WIDTH_STEP / 2) // WIDTH_STEP * WIDTH_STEP)


def input_strides(resolution: SizeLike, strides: Sequence[int], *, drop_strides: bool) -> tuple[int, ...]:
    """Return the strides for images of `resolution`: as they are, or as `drop_early_strides` returns them.

    Raises `InvalidInput` for images smaller than `SMALLEST_MAP` px either way.
    """
    dropped = drop_early_strides(resolution, strides)
    return dropped if drop_strides else tuple(strides)


def strides_of(arch: ArchSpec) -> tuple[int, ...]:
    """Return the strides of the ops of `arch`, in order."""
    return tuple(getattr(op, "stride", 1) for stage in arch.stages for op in stage)


def dropped_strides_note(before: Sequence[int], after: Sequence[int]) -> str:
    """Return words on how many strides became 1, ", 3 early strides set to 1" say; "" for none."""
    count = sum(one != other for one, other in zip(before, after, strict=True))
    return f", {count} early stride{'s' if count > 1 else ''} set to 1" if count else ""


def with_input(
    arch: ArchSpec, resolution: SizeLike, channels: int, num_classes: int, drop_strides: bool = False
) -> ArchSpec:
    """Return `arch` for inputs of `resolution`; its strides stay, unless `drop_strides` is given.

    `resolution` is the side of a square, "96x128" or a `Size`. With `drop_strides`, as many of the earliest strides
    become 1 as it takes for a final feature map of 4 px on each side; where an op such as a log-mel front end sets the
    size of its output itself, strides stay either way.
    """
    ops = [op for stage in arch.stages for op in stage]
    strides = strides_of(arch)
    if not any(op.is_front_end for op in ops):
        strides = input_strides(resolution, strides, drop_strides=drop_strides)
    restrided = iter(
        _with_stride(op, stride) if getattr(op, "stride", 1) != stride else op
        for op, stride in zip(ops, strides, strict=True)
    )
    stages = tuple(tuple(next(restrided) for _ in stage) for stage in arch.stages)
    return replace(arch, input_shape=Shape(*Size.of(resolution), channels), stages=stages, num_classes=num_classes)


def behind_log_mel(
    arch: ArchSpec, samples: int, sample_rate: int, num_classes: int, transform: Transform = "matmul"
) -> ArchSpec:
    """Return a network of images on the spectrograms of waveforms: 40 bands of 25 ms every 10 ms in front of it.

    `InvalidInput` where the waveforms are too short for a map of 4 frames.
    """
    window, hop = (max(1, round(milliseconds * sample_rate / 1000)) for milliseconds in (25, 10))
    front = LogMel(sample_rate, window, hop, REFERENCE_BANDS, transform=transform)
    frames, bands, channels = front.out_shape(Shape(samples, 1, 1))
    body = with_input(arch, (frames, bands), channels, num_classes)
    return replace(body, input_shape=Shape(samples, 1, 1), stages=((front,), *body.stages))


def scale_down(arch: ArchSpec, resolution: SizeLike, width: float) -> ArchSpec:
    """Return the search proxy of `arch`: lower resolution, early strides dropped, channels times `width`.

    Its name says so: it is not the network of that name at another resolution.
    """
    narrow = replace(scale_width(arch, width), name=f"{arch.name.partition(PROXY)[0]}{PROXY}{Size.of(resolution)}px")
    return with_input(narrow, resolution, arch.input_shape.channels, arch.num_classes, drop_strides=True)


def scale_width(arch: ArchSpec, width: float) -> ArchSpec:
    """Return `arch` with all its channels times `width`, to the nearest multiple of `WIDTH_STEP`; same input."""
    return replace(
        arch,
        stages=tuple(tuple(scale_op(op, width) for op in stage) for stage in arch.stages),
        head=scale_op(arch.head, width),
    )


def scale_op(op: OpT, width: float) -> OpT:
    """Return the op with all its channel counts times `width`, whatever its fields are called."""
    return op.scaled(lambda channels: scale_channels(channels, width))


def _with_stride(op: Op, stride: int) -> Op:
    changed = {"stride": stride}
    return replace(op, **changed)
