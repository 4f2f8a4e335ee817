"""Tucker convolution, a compressed k x k convolution (MobileDets, arXiv 2004.14525, section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Op, Strided
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, conv, make_divisible, with_residual
from nas.ops.layers import convolution


@dataclass(frozen=True)
class Tucker(Strided):
    """Tucker convolution: 1x1 to `in_rank` channels, k x k with the stride to `out_rank`, 1x1 to `out_channels`.

    Each convolution is followed by a normalisation, the first two by the activation. The ranks are absolute channel
    counts: a quarter or three quarters of the input's and the output's channels in the paper.
    """

    tag: ClassVar[str] = "tucker"
    out_channels: int = fields.channels()
    in_rank: int = fields.channels()
    out_rank: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu6")
    residual: bool = fields.flag(False)

    @property
    def inner_channels(self) -> tuple[int, ...]:
        return (self.in_rank, self.out_rank)

    def kernels(self, shape: Shape) -> list[Kernel]:
        compress = convolution("compress", shape, self.in_rank, 1, 1, self.act)
        mix = convolution("mix", compress[-1].out_shape, self.out_rank, self.kernel_size, self.stride, self.act)
        body = [*compress, *mix, conv("project", mix[-1].out_shape, self.out_channels, 1, 1, norm=True)]
        return with_residual(body, shape) if self.residual else body

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        x = graph.convolution(x, f"{name}.compress", self.in_rank, act=self.act)
        x = graph.convolution(
            x, f"{name}.mix", self.out_rank, kernel_size=self.kernel_size, stride=self.stride, act=self.act
        )
        return graph.convolution(x, f"{name}.project", self.out_channels)


@dataclass(frozen=True)
class TuckerChoices(Choices):
    """The options of a Tucker convolution: kernel sizes, and its ranks as shares of the input's and output's channels.

    Ranks are multiples of 8, as in the authors' code.
    """

    kernel_sizes: tuple[int, ...]
    in_ratios: tuple[float, ...]
    out_ratios: tuple[float, ...]

    @property
    def tag(self) -> str:
        return Tucker.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (
            Choice("kernel", self.kernel_sizes),
            Choice("inratio", self.in_ratios),
            Choice("outratio", self.out_ratios),
        )

    def build(self, values: Values, site: Site) -> Op:
        return Tucker(
            out_channels=site.out_channels,
            in_rank=make_divisible(site.in_channels * values["inratio"]),
            out_rank=make_divisible(site.out_channels * values["outratio"]),
            kernel_size=values["kernel"],
            stride=site.stride,
            act=site.act,
            residual=site.residual,
        )
