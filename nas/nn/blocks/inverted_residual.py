"""The inverted residual block with optional squeeze-excite."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.blocks.grouped import apply_grouped
from nas.nn.layers import ACTS, GATES, Convolution, Depthwise, Linear, Normalise


class BottleneckBlock(nnx.Module):
    """Base of inverted residuals: [expand] - depthwise - [squeeze-excite] - project.

    Each convolution is one layer, or a list of layers that share the channels.
    """

    expand: Any
    depthwise: Any
    project: Any

    def __init__(self, *, residual: bool, se_act: str, se_gate: str) -> None:
        self.residual, self.se_act, self.se_gate = residual, se_act, se_gate

    def add_gate(self, width: int, se_channels: int, rngs: nnx.Rngs) -> None:
        """Add the layers of a squeeze-excite of `se_channels` channels on `width`; none for 0."""
        self.se_reduce = Linear(width, se_channels, bias=True, rngs=rngs) if se_channels else None
        self.se_expand = Linear(se_channels, width, bias=True, rngs=rngs) if se_channels else None

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x if self.expand is None else apply_grouped(self.expand, x, normalise)
        y = apply_grouped(self.depthwise, y, normalise)
        if self.se_reduce is not None and self.se_expand is not None:
            squeezed = ACTS[self.se_act](self.se_reduce(y.mean((1, 2), keepdims=True)))
            y = y * GATES[self.se_gate](self.se_expand(squeezed))
        y = apply_grouped(self.project, y, normalise)
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
        **common: Any,
    ) -> None:
        super().__init__(residual=residual, se_act=se_act, se_gate=se_gate)
        width = expanded_channels or in_channels
        self.expand = Convolution(in_channels, width, act=act, **common) if expanded_channels else None
        self.depthwise = Depthwise(width, kernel_size, stride, act=act, **common)
        self.add_gate(width, se_channels, common["rngs"])
        self.project = Convolution(width, out_channels, **common)
