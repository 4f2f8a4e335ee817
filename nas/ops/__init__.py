"""Ops, which an architecture is made of, and the kernels that they lower to, which carry all costs.

An op is a frozen value with absolute channel counts. `op.lower(shape)` returns the kernels that run it on an input of
that shape, with all sizes resolved; `op.out_shape(shape)` the shape of its output. Nothing else in the project knows
what an op costs. One file per block family; `FAMILIES` is the table of those that may stand in a stage.
"""

from nas.ops.base import Act, Gate, Op
from nas.ops.conv import Conv, SeparableConv
from nas.ops.families import FAMILIES, Family, family_of, op_class
from nas.ops.fused_ib import FusedIB
from nas.ops.gram_pool import GramPool
from nas.ops.head import Head
from nas.ops.inverted_residual import InvertedResidual
from nas.ops.kernels import KINDS, Kernel, Kind, Shape, make_divisible
from nas.ops.log_mel import LogMel
from nas.ops.max_pool import MaxPool
from nas.ops.mixconv import MixConv
from nas.ops.mobile_mqa import MobileMQA
from nas.ops.size import Size, SizeLike
from nas.ops.time_band_conv import TimeBandConv
from nas.ops.tucker import Tucker
from nas.ops.uib import UIB

__all__ = [
    "FAMILIES",
    "KINDS",
    "UIB",
    "Act",
    "Conv",
    "Family",
    "FusedIB",
    "Gate",
    "GramPool",
    "Head",
    "InvertedResidual",
    "Kernel",
    "Kind",
    "LogMel",
    "MaxPool",
    "MixConv",
    "MobileMQA",
    "Op",
    "SeparableConv",
    "Shape",
    "Size",
    "SizeLike",
    "TimeBandConv",
    "Tucker",
    "family_of",
    "make_divisible",
    "op_class",
]
