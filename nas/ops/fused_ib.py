"""Fused inverted bottleneck (MobileNetV4, arXiv 2404.10518, section 4)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops.base import Act, Strided, with_layer_scale
from nas.ops.kernels import Kernel, Shape, conv, with_residual


@dataclass(frozen=True)
class FusedIB(Strided):
    """Fused inverted bottleneck: k x k convolution that strides and expands, activation; 1 x 1 projection.

    Each convolution is followed by a normalisation.
    """

    tag: ClassVar[str] = "fused_ib"
    out_channels: int
    expanded_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: Act = "relu"
    residual: bool = False
    layer_scale: bool = False

    def check(self) -> None:
        if not self.expanded_channels:
            raise InvalidInput("fused_ib.expanded_channels must be at least 1, got 0")

    def kernels(self, shape: Shape) -> list[Kernel]:
        expand = conv("expand", shape, self.expanded_channels, self.kernel_size, self.stride, norm=True)
        project = conv("project", expand.out_shape, self.out_channels, 1, 1, norm=True)
        body = [expand, with_layer_scale(project, self.layer_scale)]
        return with_residual(body, shape) if self.residual else body
