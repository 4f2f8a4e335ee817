"""Hypothesis strategies that several tests share: random valid small ops and architectures."""

from typing import Any

from hypothesis import strategies as st

from nas.arch import ArchSpec
from nas.ops import UIB, Conv, FusedIB, Head, InvertedResidual, MixConv, MobileMQA, Op, SeparableConv, Shape, Tucker

CHANNELS = st.sampled_from([1, 2, 3, 4, 8])
STRIDES = st.sampled_from([1, 1, 2])
KERNELS = st.sampled_from([1, 3, 5])
DEPTHWISE = st.sampled_from([0, 3, 5])
ACTS = st.sampled_from(["none", "relu", "relu6", "hswish", "gelu", "swish"])
LAYER_ACTS = ACTS | st.sampled_from(["evonorm_b0", "evonorm_s0"])
GATE_WIDTHS = st.sampled_from([0, 2])
GATES = st.sampled_from(["hard_sigmoid", "sigmoid"])


def mixes(channels: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw further kernel sizes of a depthwise convolution of `channels`, mostly none."""
    return st.sampled_from([(), *[mix for mix in ((), (5,), (1, 3)) if len(mix) < channels]])


@st.composite
def excitations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of squeeze-excite, of coordinate attention, or of none."""
    if draw(st.sampled_from([False, False, True])):
        return {"ca_channels": draw(CHANNELS)}
    return {"se_channels": draw(GATE_WIDTHS), "se_act": draw(ACTS), "se_gate": draw(GATES)}


@st.composite
def ops(draw: st.DrawFn, channels: int) -> Op:
    """Draw any op on a map of `channels`, with a residual only where input and output agree."""
    stride, out, act = draw(STRIDES), draw(CHANNELS | st.just(channels)), draw(LAYER_ACTS)
    residual = stride == 1 and out == channels and draw(st.booleans())
    kinds = [Conv, FusedIB, UIB, SeparableConv, InvertedResidual, MixConv, MobileMQA, Tucker]
    kind = draw(st.sampled_from(kinds))
    if kind is Conv:
        return Conv(out, draw(KERNELS), stride, act)
    if kind is SeparableConv:
        gates = (0, 0) if act.startswith("evonorm") else (draw(GATE_WIDTHS), draw(GATE_WIDTHS))
        return SeparableConv(out, draw(KERNELS), stride, act, draw(mixes(channels)), *gates)
    if kind is Tucker:
        return Tucker(out, draw(CHANNELS), draw(CHANNELS), draw(KERNELS), stride, act, residual)
    if kind is FusedIB:
        widths = draw(CHANNELS), draw(KERNELS)
        return FusedIB(out, *widths, stride, act, residual, draw(st.booleans()), **draw(excitations()))
    if kind is UIB:
        start, middle, expanded = draw(DEPTHWISE), draw(DEPTHWISE), draw(CHANNELS)
        if stride > 1 and not start:
            middle = middle or 3
        mixed = draw(mixes(channels)) if start else (), draw(mixes(expanded)) if middle else ()
        mix = dict(zip(("start_mix", "middle_mix"), mixed, strict=True))
        scale = draw(st.booleans())
        return UIB(out, expanded, start, middle, stride, act, residual, scale, **draw(excitations()), **mix)
    if kind is InvertedResidual:
        expanded, size = draw(CHANNELS | st.just(0)), draw(KERNELS)
        return InvertedResidual(out, expanded, size, stride, act, residual=residual, **draw(excitations()))
    if kind is MixConv:
        sizes = draw(st.sampled_from([(3,), (5, 3), (3, 5, 7)]))
        groups = draw(st.integers(1, min(2, channels))), draw(st.integers(1, min(2, out)))
        expanded = draw(st.sampled_from([3, 4, 8] + [0] * (channels >= 3)))
        return MixConv(out, expanded, sizes, stride, act, *groups, residual=residual, **draw(excitations()))
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
