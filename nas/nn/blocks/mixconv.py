"""The MixNet block."""

from typing import Any

from nas.nn.blocks.grouped import channel_shares, grouped, one_or_list
from nas.nn.blocks.inverted_residual import BottleneckBlock
from nas.nn.layers import Depthwise


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
        **common: Any,
    ) -> None:
        super().__init__(residual=residual, se_act=se_act, se_gate=se_gate)
        width = expanded_channels
        groups = zip(channel_shares(width, len(kernel_sizes)), kernel_sizes, strict=True)
        self.expand = grouped(in_channels, width, expand_groups, act=act, **common)
        self.depthwise = one_or_list(
            [Depthwise(channels, size, stride, act=act, **common) for channels, size in groups]
        )
        self.add_gate(width, se_channels, common["rngs"])
        self.project = grouped(width, out_channels, project_groups, **common)
