"""Universal Inverted Bottleneck (MobileNetV4, arXiv 2404.10518, section 4 and Fig. 4)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops.base import Act, Strided, with_layer_scale
from nas.ops.kernels import Kernel, Shape, conv, depthwise, with_residual


@dataclass(frozen=True)
class UIB(Strided):
    """Universal Inverted Bottleneck: [start depthwise] - 1x1 expand - [middle depthwise] - 1x1 project.

    A depthwise of kernel size 0 is absent. The stride sits on the middle depthwise if there is one, else on the start.
    Source: MobileNetV4, section 4 and Fig. 4; no activation after the start depthwise and after the projection.
    """

    tag: ClassVar[str] = "uib"
    out_channels: int
    expanded_channels: int
    start_dw: int = 0
    middle_dw: int = 3
    stride: int = 1
    act: Act = "relu"
    residual: bool = False
    layer_scale: bool = False

    def check(self) -> None:
        if not self.expanded_channels:
            raise InvalidInput("uib.expanded_channels must be at least 1, got 0")
        if self.stride > 1 and not (self.start_dw or self.middle_dw):
            raise InvalidInput(f"uib with stride {self.stride} needs a depthwise: set start_dw or middle_dw to 3 or 5")

    @property
    def variant(self) -> str:
        """The paper's name of this form: ExtraDW, IB, ConvNext or FFN."""
        names = {(True, True): "ExtraDW", (False, True): "IB", (True, False): "ConvNext", (False, False): "FFN"}
        return names[bool(self.start_dw), bool(self.middle_dw)]

    @property
    def start_stride(self) -> int:
        """Stride of the start depthwise."""
        return 1 if self.middle_dw else self.stride

    def kernels(self, shape: Shape) -> list[Kernel]:
        body: list[Kernel] = []
        at = shape
        if self.start_dw:
            body.append(depthwise("start_dw", at, self.start_dw, self.start_stride))
            at = body[-1].out_shape
        body.append(conv("expand", at, self.expanded_channels, 1, 1, norm=True))
        at = body[-1].out_shape
        if self.middle_dw:
            body.append(depthwise("middle_dw", at, self.middle_dw, self.stride))
            at = body[-1].out_shape
        body.append(with_layer_scale(conv("project", at, self.out_channels, 1, 1, norm=True), self.layer_scale))
        return with_residual(body, shape) if self.residual else body
