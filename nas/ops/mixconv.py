"""MixNet's block: an inverted residual whose depthwise convolution mixes several kernel sizes (arXiv 1907.09595)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops.base import Act, Gate
from nas.ops.inverted_residual import Bottleneck
from nas.ops.kernels import Kernel, Shape, conv, depthwise, grouped_kernels, split_channels


@dataclass(frozen=True)
class MixConv(Bottleneck):
    """MixNet block, arXiv 1907.09595: an `InvertedResidual` with a depthwise convolution of several kernel sizes.

    Each size takes a share of the channels, in the order of `kernel_sizes`; the 1x1 convolutions may be grouped, each
    group a kernel of its own as in the authors' code. Shares are equal, the remainder in the first.
    """

    tag: ClassVar[str] = "mixconv"
    out_channels: int
    expanded_channels: int
    kernel_sizes: tuple[int, ...] = (3,)
    stride: int = 1
    act: Act = "relu"
    expand_groups: int = 1
    project_groups: int = 1
    se_channels: int = 0
    residual: bool = False
    se_act: Act = "relu"
    se_gate: Gate = "sigmoid"

    def check(self) -> None:
        if not self.kernel_sizes or any(size < 1 or size % 2 == 0 for size in self.kernel_sizes):
            raise InvalidInput(f"mixconv.kernel_sizes must be odd and at least one, got {list(self.kernel_sizes)}")
        if not self.expanded_channels:
            raise InvalidInput("mixconv.expanded_channels must be at least 1, got 0")

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


def grouped_pointwise(name: str, shape: Shape, out: int, groups: int) -> list[Kernel]:
    """Return the kernels of a 1x1 convolution with normalisation in `groups` groups, one kernel each."""
    widths = zip(split_channels(shape.channels, groups), split_channels(out, groups), strict=True)
    kernels = [conv(name, Shape(shape.height, shape.width, before), after, 1, 1, norm=True) for before, after in widths]
    return grouped_kernels(kernels, shape.elements, shape.strided(1, out).elements)
