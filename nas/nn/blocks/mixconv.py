"""MixNet's block."""

from typing import Any

from nas.nn.blocks.grouped import grouped, one_or_list, shares
from nas.nn.blocks.inverted_residual import BottleneckBlock
from nas.nn.layers import Depthwise


class MixConvBlock(BottleneckBlock):
    """MixNet's block, arXiv 1907.09595: depthwise kernels of several sizes, grouped 1 x 1 convolutions."""

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
        **common: Any,
    ) -> None:
        super().__init__(residual=residual, se_act=se_act, se_gate=se_gate)
        width = expanded_channels
        own = zip(shares(width, len(kernel_sizes)), kernel_sizes, strict=True)
        self.expand = grouped(in_channels, width, expand_groups, act=act, **common)
        self.depthwise = one_or_list([Depthwise(part, size, stride, act=act, **common) for part, size in own])
        self.add_gate(width, se_channels, common["rngs"])
        self.project = grouped(width, out_channels, project_groups, **common)
