"""Plain and depthwise-separable convolutions (MobileNetV1, arXiv 1704.04861)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Op, Strided
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, conv, depthwise


@dataclass(frozen=True)
class Conv(Strided):
    """k x k convolution, normalisation, activation; k is `kernel_size`."""

    tag: ClassVar[str] = "conv"
    out_channels: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")

    def kernels(self, shape: Shape) -> list[Kernel]:
        return [conv("conv", shape, self.out_channels, self.kernel_size, self.stride, norm=True)]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        return graph.convolution(
            x, f"{name}.conv", self.out_channels, kernel_size=self.kernel_size, stride=self.stride, act=self.act
        )


@dataclass(frozen=True)
class SeparableConv(Strided):
    """MobileNetV1 block: depthwise, normalisation, activation; 1 x 1, normalisation, activation."""

    tag: ClassVar[str] = "separable_conv"
    out_channels: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")

    def kernels(self, shape: Shape) -> list[Kernel]:
        first = depthwise("depthwise", shape, self.kernel_size, self.stride)
        return [first, conv("pointwise", first.out_shape, self.out_channels, 1, 1, norm=True)]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        x = graph.depthwise(x, f"{name}.depthwise", self.kernel_size, self.stride, act=self.act)
        return graph.convolution(x, f"{name}.pointwise", self.out_channels, act=self.act)


@dataclass(frozen=True)
class ConvChoices(Choices):
    """The kernel sizes of a convolution."""

    kernel_sizes: tuple[int, ...] = (3,)

    @property
    def tag(self) -> str:
        return Conv.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice("kernel", self.kernel_sizes),)

    def build(self, values: Values, site: Site) -> Op:
        return Conv(site.out_channels, values["kernel"], site.stride, site.act)


@dataclass(frozen=True)
class SeparableConvChoices(Choices):
    """The kernel sizes of a depthwise-separable convolution."""

    kernel_sizes: tuple[int, ...] = (3,)

    @property
    def tag(self) -> str:
        return SeparableConv.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice("kernel", self.kernel_sizes),)

    def build(self, values: Values, site: Site) -> Op:
        return SeparableConv(site.out_channels, values["kernel"], site.stride, site.act)
