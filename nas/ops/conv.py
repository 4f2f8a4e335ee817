"""Plain and depthwise-separable convolutions (MobileNetV1, arXiv 1704.04861)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops import fields
from nas.ops.base import Act, Op, Strided
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.excitation import squeeze_excite
from nas.ops.fields import EVONORMS
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape
from nas.ops.layers import convolution, mixed_depthwise


@dataclass(frozen=True)
class Conv(Strided):
    """k x k convolution, normalisation, activation; k is `kernel_size`."""

    tag: ClassVar[str] = "conv"
    out_channels: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")

    def kernels(self, shape: Shape) -> list[Kernel]:
        return convolution("conv", shape, self.out_channels, self.kernel_size, self.stride, self.act)

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        return graph.convolution(
            x, f"{name}.conv", self.out_channels, kernel_size=self.kernel_size, stride=self.stride, act=self.act
        )


@dataclass(frozen=True)
class SeparableConv(Strided):
    """MobileNetV1 block: depthwise, normalisation, activation; 1 x 1, normalisation, activation.

    `mix` are further kernel sizes, which share the channels with `kernel_size` (arXiv 1907.09595). The squeeze-excites
    of MobileOne-S4 (arXiv 2206.04040) stand between normalisation and activation: `depthwise_se_channels` wide behind
    the depthwise, `se_channels` behind the 1 x 1; 0 means none.
    """

    tag: ClassVar[str] = "separable_conv"
    fields_added_later: ClassVar[frozenset[str]] = frozenset({"mix", "depthwise_se_channels", "se_channels"})
    out_channels: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")
    mix: tuple[int, ...] = fields.optional_kernel_sizes()
    depthwise_se_channels: int = fields.optional_channels()
    se_channels: int = fields.optional_channels()

    def check(self) -> None:
        if self.act in EVONORMS and (self.se_channels or self.depthwise_se_channels):
            raise InvalidInput(f"separable_conv has squeeze-excite in front of its activation, which {self.act} is not")

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """The kernel sizes of the depthwise convolution."""
        return (self.kernel_size, *self.mix)

    def kernels(self, shape: Shape) -> list[Kernel]:
        first = mixed_depthwise("depthwise", shape, self.kernel_sizes, self.stride, self.act)
        at = shape.strided(self.stride, shape.channels)
        if self.depthwise_se_channels:
            first += squeeze_excite(at, self.depthwise_se_channels, "depthwise_se")
        second = convolution("pointwise", at, self.out_channels, 1, 1, self.act)
        return [*first, *second, *(squeeze_excite(second[-1].out_shape, self.se_channels) if self.se_channels else [])]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        act: Act = "none" if self.depthwise_se_channels else self.act
        x = graph.mixed_depthwise(x, f"{name}.depthwise", self.kernel_sizes, self.stride, act)
        x = graph.squeeze_excite(x, f"{name}.depthwise_se", self.depthwise_se_channels, later=self.act)
        act = "none" if self.se_channels else self.act
        x = graph.convolution(x, f"{name}.pointwise", self.out_channels, act=act)
        return graph.squeeze_excite(x, f"{name}.se", self.se_channels, later=self.act)


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
    """The kernel sizes of a depthwise-separable convolution; a tuple of several shares the channels among them."""

    kernel_sizes: tuple[int | tuple[int, ...], ...] = (3,)

    @property
    def tag(self) -> str:
        return SeparableConv.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice("kernel", self.kernel_sizes),)

    def build(self, values: Values, site: Site) -> Op:
        chosen = values["kernel"]
        first, *others = chosen if isinstance(chosen, tuple) else (chosen,)
        return SeparableConv(site.out_channels, first, site.stride, site.act, mix=tuple(others))
