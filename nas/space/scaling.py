"""Scale a network: change its input size and number of classes, and its width for the search proxy.

Pure functions `ArchSpec -> ArchSpec`. Costs and latency are those of the target network; the accuracy that a search
sees is that of its proxy, scaled down to what a supernet can afford to train.
"""

from collections.abc import Sequence
from dataclasses import replace

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Head, Op, Shape

SMALLEST_MAP = 4  # pixels on each side that the last feature map has at least
WIDTH_STEP = 4  # channels of a proxy are multiples of this


def drop_early_strides(resolution: int, strides: Sequence[int]) -> tuple[int, ...]:
    """Return `strides` with as many of the earliest ones set to 1 as small images need.

    As many as it takes for an image of `resolution` px to end in a feature map of at least `SMALLEST_MAP` px. Raises
    `InvalidInput` where the image itself is smaller than that.
    """
    if resolution < SMALLEST_MAP:
        raise InvalidInput(f"the resolution must be at least {SMALLEST_MAP} px, got {resolution}")
    kept = list(strides)
    for i, stride in enumerate(strides):
        last = resolution
        for step in kept:
            last = -(-last // step)
        if last >= SMALLEST_MAP:
            break
        kept[i] = min(stride, 1)
    return tuple(kept)


def scale_channels(channels: int, width: float) -> int:
    """Return `channels` times `width` to the nearest multiple of `WIDTH_STEP`; unchanged at width 1, 0 stays 0."""
    if width == 1 or not channels:
        return channels
    return max(WIDTH_STEP, int(channels * width + WIDTH_STEP / 2) // WIDTH_STEP * WIDTH_STEP)


def with_input(arch: ArchSpec, resolution: int, channels: int, num_classes: int) -> ArchSpec:
    """Return `arch` for square images of `resolution` px; early strides become 1 for a final feature map of 4x4."""
    ops = [op for stage in arch.stages for op in stage]
    strides = drop_early_strides(resolution, [getattr(op, "stride", 1) for op in ops])
    restrided = iter(
        _with_stride(op, stride) if getattr(op, "stride", 1) != stride else op
        for op, stride in zip(ops, strides, strict=True)
    )
    stages = tuple(tuple(next(restrided) for _ in stage) for stage in arch.stages)
    return replace(arch, input_shape=Shape(resolution, resolution, channels), stages=stages, num_classes=num_classes)


def scale_down(arch: ArchSpec, resolution: int, width: float) -> ArchSpec:
    """Return the search proxy of `arch`: lower resolution, early strides dropped, channels times `width`."""
    narrow = scale_width(arch, width)
    return with_input(narrow, resolution, arch.input_shape.channels, arch.num_classes)


def scale_width(arch: ArchSpec, width: float) -> ArchSpec:
    """Return `arch` with all its channels times `width`, to the nearest multiple of `WIDTH_STEP`; same input."""
    return replace(
        arch,
        stages=tuple(tuple(_scale_op(op, width) for op in stage) for stage in arch.stages),
        head=_scale_head(arch.head, width),
    )


def _scale_op(op: Op, width: float) -> Op:
    """Return the op with all its channel counts times `width`."""
    changed = {
        name: scale_channels(getattr(op, name), width)
        for name in ("out_channels", "expanded_channels", "se_channels", "key_dim", "value_dim")
        if hasattr(op, name)
    }
    return replace(op, **changed)


def _scale_head(head: Head, width: float) -> Head:
    return replace(head, hidden=scale_channels(head.hidden, width))


def _with_stride(op: Op, stride: int) -> Op:
    changed = {"stride": stride}
    return replace(op, **changed)
