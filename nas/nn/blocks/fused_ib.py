"""The fused inverted bottleneck block (MobileNetV4)."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Normalise


class FusedIBBlock(nnx.Module):
    """Fused inverted bottleneck: k x k expansion with stride and activation, 1 x 1 projection."""

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
        **common: Any,
    ) -> None:
        self.residual = residual
        self.expand = Convolution(in_channels, expanded_channels, kernel_size, stride, act=act, **common)
        self.project = Convolution(expanded_channels, out_channels, layer_scale=layer_scale, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = self.project(self.expand(x, normalise), normalise)
        return x + y if self.residual else y
