"""The inverted residual block with optional squeeze-excite or coordinate attention."""

from typing import Any

from jax import Array

from nas.nn.blocks.excitation import ExcitedBlock
from nas.nn.blocks.grouped import apply_grouped
from nas.nn.layers import Convolution, Depthwise, Normalise


class BottleneckBlock(ExcitedBlock):
    """Base of inverted residuals: [expand] - depthwise - [excitation] - project.

    Each convolution is one layer, or a list of layers that share the channels.
    """

    expand: Any
    depthwise: Any
    project: Any
    residual: bool

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.expand is None else apply_grouped(self.expand, x, normalise)
        y = apply_grouped(self.depthwise, y, normalise)
        y = apply_grouped(self.project, self.excite(y, normalise), normalise)
        return x + y if self.residual else y


class InvertedResidualBlock(BottleneckBlock):
    """The block of MobileNetV2 and V3, MnasNet and EfficientNet."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu6",
        se_channels: int = 0,
        residual: bool = False,
        se_act: str = "relu",
        se_gate: str = "hard_sigmoid",
        ca_channels: int = 0,
        **common: Any,
    ) -> None:
        self.residual = residual
        width = expanded_channels or in_channels
        self.expand = Convolution(in_channels, width, act=act, **common) if expanded_channels else None
        self.depthwise = Depthwise(width, kernel_size, stride, act=act, **common)
        self.add_excitation(width, se_channels, se_act, se_gate, ca_channels, **common)
        self.project = Convolution(width, out_channels, **common)
