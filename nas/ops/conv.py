"""Plain and depthwise-separable convolutions (MobileNetV1, arXiv 1704.04861)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops.base import Act, Strided
from nas.ops.kernels import Kernel, Shape, conv, depthwise


@dataclass(frozen=True)
class Conv(Strided):
    """k x k convolution, normalisation, activation; k is `kernel_size`."""

    tag: ClassVar[str] = "conv"
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: Act = "relu"

    def kernels(self, shape: Shape) -> list[Kernel]:
        return [conv("conv", shape, self.out_channels, self.kernel_size, self.stride, norm=True)]


@dataclass(frozen=True)
class SeparableConv(Strided):
    """MobileNetV1 block: depthwise, normalisation, activation; 1 x 1, normalisation, activation."""

    tag: ClassVar[str] = "separable_conv"
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: Act = "relu"

    def kernels(self, shape: Shape) -> list[Kernel]:
        first = depthwise("depthwise", shape, self.kernel_size, self.stride)
        return [first, conv("pointwise", first.out_shape, self.out_channels, 1, 1, norm=True)]
