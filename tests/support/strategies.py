"""Hypothesis strategies that several tests share: random valid small ops and architectures."""

from hypothesis import strategies as st

from nas.arch import ArchSpec
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, Op, SeparableConv, Shape

CHANNELS = st.sampled_from([1, 2, 3, 4, 8])
STRIDES = st.sampled_from([1, 1, 2])
KERNELS = st.sampled_from([1, 3, 5])
DEPTHWISE = st.sampled_from([0, 3, 5])
ACTS = st.sampled_from(["none", "relu", "relu6", "hswish", "gelu", "swish"])
GATES = st.sampled_from(["hard_sigmoid", "sigmoid"])


@st.composite
def ops(draw: st.DrawFn, channels: int) -> Op:
    """Draw any op on a map of `channels`, with a residual only where input and output agree."""
    stride, out, act = draw(STRIDES), draw(CHANNELS | st.just(channels)), draw(ACTS)
    residual = stride == 1 and out == channels and draw(st.booleans())
    kind = draw(st.sampled_from([Conv, FusedIB, UIB, SeparableConv, InvertedResidual, MixConv, MobileMQA]))
    if kind in (Conv, SeparableConv):
        return kind(out, draw(KERNELS), stride, act)
    if kind is FusedIB:
        return FusedIB(out, draw(CHANNELS), draw(KERNELS), stride, act, residual, draw(st.booleans()))
    if kind is UIB:
        start, middle = draw(DEPTHWISE), draw(DEPTHWISE)
        if stride > 1 and not start:
            middle = middle or 3
        return UIB(out, draw(CHANNELS), start, middle, stride, act, residual, draw(st.booleans()))
    if kind is InvertedResidual:
        gate = draw(st.sampled_from([0, 2])), residual, draw(ACTS), draw(GATES)
        return InvertedResidual(out, draw(CHANNELS | st.just(0)), draw(KERNELS), stride, act, *gate)
    if kind is MixConv:
        sizes = draw(st.sampled_from([(3,), (5, 3), (3, 5, 7)]))
        groups = draw(st.integers(1, min(2, channels))), draw(st.integers(1, min(2, out)))
        gate = draw(st.sampled_from([0, 2])), residual, draw(ACTS), draw(GATES)
        return MixConv(out, draw(st.sampled_from([3, 4, 8])), sizes, stride, act, *groups, *gate)
    heads, kv_stride = draw(st.integers(1, 3)), draw(STRIDES)
    return MobileMQA(heads, draw(CHANNELS), draw(CHANNELS), kv_stride, draw(st.booleans()), draw(st.booleans()))


@st.composite
def archs(draw: st.DrawFn, max_ops: int = 5, max_side: int = 9) -> ArchSpec:
    """Draw a small network: up to `max_ops` ops of any type in up to three stages, sides up to `max_side` pixels."""
    shape = Shape(draw(st.integers(1, max_side)), draw(st.integers(1, max_side)), draw(CHANNELS))
    stages: list[list[Op]] = [[]]
    last_shape = shape
    for _ in range(draw(st.integers(1, max_ops))):
        op = draw(ops(last_shape.channels))
        stages[-1].append(op)
        last_shape = op.out_shape(last_shape)
        if len(stages) < 3 and draw(st.booleans()):
            stages.append([])
    return ArchSpec(
        input_shape=shape,
        stages=tuple(tuple(stage) for stage in stages),
        head=Head(draw(st.sampled_from([0, 3])), draw(st.booleans()), draw(ACTS)),
        num_classes=draw(st.integers(1, 4)),
        padding=draw(st.sampled_from(["symmetric", "same"])),
        norm_eps=draw(st.sampled_from([1e-5, 1e-3])),
        name=draw(st.sampled_from(["unnamed", "other"])),
    )
