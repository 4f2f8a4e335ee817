"""The fused inverted bottleneck block (MobileNetV4, MobileDets)."""

from typing import Any

from jax import Array

from nas.nn.blocks.excitation import ExcitedBlock
from nas.nn.layers import Convolution, Normalise


class FusedIBBlock(ExcitedBlock):
    """Fused inverted bottleneck: k x k expansion with stride and activation, [excitation], 1 x 1 projection."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expanded_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu",
        residual: bool = False,
        layer_scale: bool = False,
        se_channels: int = 0,
        se_act: str = "relu",
        se_gate: str = "sigmoid",
        ca_channels: int = 0,
        **common: Any,
    ) -> None:
        self.residual = residual
        self.expand = Convolution(in_channels, expanded_channels, kernel_size, stride, act=act, **common)
        self.add_excitation(expanded_channels, se_channels, se_act, se_gate, ca_channels, **common)
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = self.excite(self.expand(x, normalise), normalise)
        y = self.project(y, normalise)
        return x + y if self.residual else y
