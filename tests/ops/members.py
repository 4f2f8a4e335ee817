"""One op of each family on a map of 4 channels, with every kind of layer that the family can have.

A front end takes a waveform instead: `input_of`.
"""

from nas.ops import (
    UIB,
    Conv,
    FusedIB,
    GramPool,
    InvertedResidual,
    LogMel,
    MaxPool,
    MixConv,
    MobileMQA,
    Op,
    SeparableConv,
    Shape,
    TimeBandConv,
    Tucker,
)

MEMBERS: dict[str, Op] = {
    op.tag: op
    for op in (
        Conv(6, 3, 2, "hswish"),
        FusedIB(4, 6, 3, 1, "relu", residual=True, layer_scale=True),
        UIB(6, 8, 5, 3, 2, "gelu"),
        SeparableConv(6, 5, 2, "relu6"),
        InvertedResidual(6, 8, 5, 2, "hswish", se_channels=3),
        MixConv(6, 7, (3, 5, 9), 2, "swish", 2, 3, se_channels=2, se_act="swish"),
        MobileMQA(2, 3, 5, kv_stride=2),
        Tucker(6, 2, 3, 5, 2, "swish"),
        LogMel(8000, window=16, hop=8, bands=6, upper_hz=3900),
        MaxPool(3, 2),
        GramPool(),
        TimeBandConv(6, 4, 2, 2, 1),
    )
}
WAVEFORM = Shape(96, 1, 1)


def input_of(op: Op, shape: Shape) -> Shape:
    """Return the input of a network that begins with `op`: `shape`, or a waveform where the op takes that."""
    return WAVEFORM if op.is_front_end else shape
