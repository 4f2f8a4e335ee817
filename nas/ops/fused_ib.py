"""Fused inverted bottleneck (MobileNetV4, arXiv 2404.10518, section 4; MobileDets, arXiv 2004.14525, section 3.1)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Gate, Op, Strided, with_layer_scale
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.excitation import check_excitation, excitation
from nas.ops.fields import PlainAct, plain_act
from nas.ops.graph import Lowering, Value
from nas.ops.inverted_residual import SqueezeWidth, quarter_of_input
from nas.ops.kernels import Kernel, Shape, conv, make_divisible, with_residual
from nas.ops.layers import convolution


@dataclass(frozen=True)
class FusedIB(Strided):
    """Fused inverted bottleneck: k x k convolution that strides and expands, activation; 1 x 1 projection.

    Each convolution is followed by a normalisation. Squeeze-excite of `se_channels` or coordinate attention of
    `ca_channels` works on the expanded map; 0 means none.
    """

    tag: ClassVar[str] = "fused_ib"
    fields_added_later: ClassVar[frozenset[str]] = frozenset({"se_channels", "se_act", "se_gate", "ca_channels"})
    out_channels: int = fields.channels()
    expanded_channels: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")
    residual: bool = fields.flag(False)
    layer_scale: bool = fields.flag(False)
    se_channels: int = fields.optional_channels()
    se_act: Act = fields.choice(PlainAct, "relu")
    se_gate: Gate = fields.choice(Gate, "sigmoid")
    ca_channels: int = fields.optional_channels()

    def check(self) -> None:
        check_excitation(self)

    def kernels(self, shape: Shape) -> list[Kernel]:
        body = convolution("expand", shape, self.expanded_channels, self.kernel_size, self.stride, self.act)
        wide = body[-1].out_shape
        project = conv("project", wide, self.out_channels, 1, 1, norm=True)
        body += [*excitation(self, wide), with_layer_scale(project, self.layer_scale)]
        return with_residual(body, shape) if self.residual else body

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        x = graph.convolution(
            x, f"{name}.expand", self.expanded_channels, kernel_size=self.kernel_size, stride=self.stride, act=self.act
        )
        x = graph.excitation(x, name, self)
        return graph.convolution(x, f"{name}.project", self.out_channels, layer_scale=self.layer_scale)


@dataclass(frozen=True)
class FusedIBChoices(Choices):
    """The options of a fused inverted bottleneck: kernel sizes, expansion ratios, `excited` a squeeze-excite.

    `squeeze` gives its width; `se_act` None is the activation of the block (ReLU for an EvoNorm).
    """

    expansions: tuple[float, ...]
    kernel_sizes: tuple[int, ...] = (3,)
    squeeze_excite: tuple[bool, ...] = (False,)
    squeeze: SqueezeWidth = quarter_of_input
    se_act: PlainAct | None = "relu"
    se_gate: Gate = "sigmoid"

    @property
    def tag(self) -> str:
        return FusedIB.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        excited = [Choice("excited", self.squeeze_excite)] if len(self.squeeze_excite) > 1 else []
        return Choice("kernel", self.kernel_sizes), Choice("expansion", self.expansions), *excited

    def build(self, values: Values, site: Site) -> Op:
        expanded = make_divisible(site.in_channels * values["expansion"])
        block = FusedIB(site.out_channels, expanded, values["kernel"], site.stride, site.act, residual=site.residual)
        if not values.get("excited", self.squeeze_excite[0]):
            return block
        squeezed = self.squeeze(site.in_channels, expanded)
        return replace(block, se_channels=squeezed, se_act=self.se_act or plain_act(site.act), se_gate=self.se_gate)
