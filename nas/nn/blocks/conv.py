"""Plain and depthwise-separable convolution blocks."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Depthwise, Normalise


class ConvBlock(nnx.Module):
    """k x k convolution, normalisation, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu",
        **common: Any,
    ) -> None:
        self.conv = Convolution(in_channels, out_channels, kernel_size, stride, act=act, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.conv(x, normalise)


class SeparableConvBlock(nnx.Module):
    """MobileNetV1 block: depthwise and 1 x 1 convolution, each with normalisation and activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu",
        **common: Any,
    ) -> None:
        self.depthwise = Depthwise(in_channels, kernel_size, stride, act=act, **common)
        self.pointwise = Convolution(in_channels, out_channels, act=act, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.pointwise(self.depthwise(x, normalise), normalise)
