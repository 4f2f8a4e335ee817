"""MixNet's block: an inverted residual whose depthwise convolution mixes several kernel sizes (arXiv 1907.09595)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Gate
from nas.ops.graph import Lowering, Value
from nas.ops.inverted_residual import Bottleneck
from nas.ops.kernels import Kernel, Shape, conv, depthwise, grouped_kernels, split_channels


@dataclass(frozen=True)
class MixConv(Bottleneck):
    """MixNet block, arXiv 1907.09595: an `InvertedResidual` with a depthwise convolution of several kernel sizes.

    Each size takes a share of the channels, in the order of `kernel_sizes`; the 1x1 convolutions may be grouped, each
    group a kernel of its own as in the authors' code. Shares are equal, the remainder in the first.
    """

    tag: ClassVar[str] = "mixconv"
    out_channels: int = fields.channels()
    expanded_channels: int = fields.channels()
    kernel_sizes: tuple[int, ...] = fields.kernel_sizes((3,))
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")
    expand_groups: int = fields.count(1)
    project_groups: int = fields.count(1)
    se_channels: int = fields.optional_channels()
    residual: bool = fields.flag(False)
    se_act: Act = fields.choice(Act, "relu")
    se_gate: Gate = fields.choice(Gate, "sigmoid")

    def expand_kernels(self, shape: Shape) -> list[Kernel]:
        return grouped_pointwise("expand", shape, self.expanded_channels, self.expand_groups)

    def depthwise_kernels(self, shape: Shape) -> list[Kernel]:
        groups = zip(self.kernel_sizes, split_channels(shape.channels, len(self.kernel_sizes)), strict=True)
        inputs = ((size, Shape(shape.height, shape.width, channels)) for size, channels in groups)
        return grouped_kernels(
            [depthwise("depthwise", group, size, self.stride) for size, group in inputs],
            shape.elements,
            shape.strided(self.stride, shape.channels).elements,
        )

    def project_kernels(self, shape: Shape) -> list[Kernel]:
        return grouped_pointwise("project", shape, self.out_channels, self.project_groups)

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        x = graph.grouped(x, f"{name}.expand", self.expanded_channels, self.expand_groups, self.act)
        x = graph.mixed_depthwise(x, f"{name}.depthwise", self.kernel_sizes, self.stride, self.act)
        x = graph.squeeze_excite(x, name, self.se_channels, self.se_act, self.se_gate)
        return graph.grouped(x, f"{name}.project", self.out_channels, self.project_groups)


def grouped_pointwise(name: str, shape: Shape, out: int, groups: int) -> list[Kernel]:
    """Return the kernels of a 1x1 convolution with normalisation in `groups` groups, one kernel each."""
    widths = zip(split_channels(shape.channels, groups), split_channels(out, groups), strict=True)
    kernels = [conv(name, Shape(shape.height, shape.width, before), after, 1, 1, norm=True) for before, after in widths]
    return grouped_kernels(kernels, shape.elements, shape.strided(1, out).elements)
