"""The same network elsewhere: at another resolution, or shrunk to the proxy that a supernet can afford to train.

Both are pure functions `ArchSpec -> ArchSpec`. The deployed network has the costs and latency; its proxy the accuracy.
"""

from collections.abc import Sequence
from dataclasses import replace

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Head, Op, Shape

SMALLEST_MAP = 4  # pixels that the last feature map keeps on each side
WIDTH_STEP = 4  # channels of a proxy are multiples of this


def drop_early_strides(resolution: int, strides: Sequence[int]) -> tuple[int, ...]:
    """Return `strides` with the earliest ones 1, as far as a map of `resolution` px needs to end at `SMALLEST_MAP`.

    Raises `InvalidInput` where the image itself is smaller than that.
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
    """Return `arch` for square images of `resolution` px; early strides go where its last map would be under 4x4."""
    ops = [op for stage in arch.stages for op in stage]
    strides = drop_early_strides(resolution, [getattr(op, "stride", 1) for op in ops])
    moved = iter(
        _strided(op, stride) if getattr(op, "stride", 1) != stride else op
        for op, stride in zip(ops, strides, strict=True)
    )
    stages = tuple(tuple(next(moved) for _ in stage) for stage in arch.stages)
    return replace(arch, input_shape=Shape(resolution, resolution, channels), stages=stages, num_classes=num_classes)


def scale_down(arch: ArchSpec, resolution: int, width: float) -> ArchSpec:
    """Return the proxy of `arch`: lower resolution, early strides dropped, channels times `width`, the same blocks."""
    narrow = replace(
        arch,
        stages=tuple(tuple(_narrowed(op, width) for op in stage) for stage in arch.stages),
        head=_narrowed_head(arch.head, width),
    )
    return with_input(narrow, resolution, arch.input_shape.channels, arch.num_classes)


def _narrowed(op: Op, width: float) -> Op:
    changed = {
        name: scale_channels(getattr(op, name), width)
        for name in ("out_channels", "expanded_channels", "se_channels", "key_dim", "value_dim")
        if hasattr(op, name)
    }
    return replace(op, **changed)


def _narrowed_head(head: Head, width: float) -> Head:
    return replace(head, hidden=scale_channels(head.hidden, width))


def _strided(op: Op, stride: int) -> Op:
    changed = {"stride": stride}
    return replace(op, **changed)
