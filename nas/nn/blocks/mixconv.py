"""The MixNet block."""

from typing import Any

from nas.nn.blocks.grouped import grouped, mixed_depthwise
from nas.nn.blocks.inverted_residual import BottleneckBlock


class MixConvBlock(BottleneckBlock):
    """MixNet block, arXiv 1907.09595: a depthwise convolution of several kernel sizes, grouped 1 x 1 convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel_sizes: tuple[int, ...] = (3,),
        stride: int = 1,
        act: str = "relu",
        expand_groups: int = 1,
        project_groups: int = 1,
        se_channels: int = 0,
        residual: bool = False,
        se_act: str = "relu",
        se_gate: str = "sigmoid",
        ca_channels: int = 0,
        **common: Any,
    ) -> None:
        self.residual = residual
        width = expanded_channels or in_channels
        self.expand = grouped(in_channels, width, expand_groups, act=act, **common) if expanded_channels else None
        self.depthwise = mixed_depthwise(width, kernel_sizes, stride, act=act, **common)
        self.add_excitation(width, se_channels, se_act, se_gate, ca_channels, **common)
        self.project = grouped(width, out_channels, project_groups, **common)
