"""Universal Inverted Bottleneck (MobileNetV4, arXiv 2404.10518, section 4 and Fig. 4)."""

from dataclasses import dataclass
from typing import ClassVar

from nas.errors import InvalidInput
from nas.ops import fields
from nas.ops.base import Act, Gate, Op, Strided, with_layer_scale
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.excitation import check_excitation, excitation
from nas.ops.fields import PlainAct
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, conv, make_divisible, with_residual
from nas.ops.layers import convolution, input_readers, mixed_depthwise

Mix = int | tuple[int, ...]  # a kernel size, 0 = absent, or several that share the channels (arXiv 1907.09595)
DW = tuple[Mix, Mix]  # of the start and of the middle depthwise of a UIB block

ALL_DW: tuple[DW, ...] = tuple((start, middle) for start in (0, 3, 5) for middle in (0, 3, 5))

STRIDED_DW: tuple[DW, ...] = tuple(dw for dw in ALL_DW if any(dw))  # for block 0: a stride needs a depthwise

COARSE_DW: DW = (0, 3)  # a coarse search fixes every block that offers it to IB k3

COARSE_EXPANSION = 4.0  # ... with expansion 4 (MobileNetV4, section 6.1)


@dataclass(frozen=True)
class UIB(Strided):
    """Universal Inverted Bottleneck: [start depthwise] - 1x1 expand - [middle depthwise] - 1x1 project.

    `start_mix` and `middle_mix` are further kernel sizes of a depthwise, which share its channels (arXiv 1907.09595).
    Squeeze-excite of `se_channels` or coordinate attention of `ca_channels` stands in front of the projection.
    A depthwise of kernel size 0 is absent. The stride sits on the middle depthwise if there is one, else on the start.
    Source: MobileNetV4, section 4 and Fig. 4; no activation after the start depthwise and after the projection.
    """

    tag: ClassVar[str] = "uib"
    fields_added_later: ClassVar[frozenset[str]] = frozenset(
        {"se_channels", "se_act", "se_gate", "ca_channels", "start_mix", "middle_mix"}
    )
    out_channels: int = fields.channels()
    expanded_channels: int = fields.channels()
    start_dw: int = fields.optional_kernel_size(0)
    middle_dw: int = fields.optional_kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")
    residual: bool = fields.flag(False)
    layer_scale: bool = fields.flag(False)
    se_channels: int = fields.optional_channels()
    se_act: Act = fields.choice(PlainAct, "relu")
    se_gate: Gate = fields.choice(Gate, "sigmoid")
    ca_channels: int = fields.optional_channels()
    start_mix: tuple[int, ...] = fields.optional_kernel_sizes()
    middle_mix: tuple[int, ...] = fields.optional_kernel_sizes()

    def check(self) -> None:
        check_excitation(self)
        for name in ("start", "middle"):
            if getattr(self, f"{name}_mix") and not getattr(self, f"{name}_dw"):
                raise InvalidInput(f"uib.{name}_mix needs {name}_dw, the first of the kernel sizes; set it to 3 or 5")
        if self.stride > 1 and not (self.start_dw or self.middle_dw):
            raise InvalidInput(f"uib with stride {self.stride} needs a depthwise: set start_dw or middle_dw to 3 or 5")

    @property
    def variant(self) -> str:
        """The paper's name of this form: ExtraDW, IB, ConvNext or FFN."""
        names = {(True, True): "ExtraDW", (False, True): "IB", (True, False): "ConvNext", (False, False): "FFN"}
        return names[bool(self.start_dw), bool(self.middle_dw)]

    @property
    def label(self) -> str:
        return f"UIB {self.variant}"

    @property
    def windows(self) -> tuple[int, ...]:
        return (*self.start_sizes, *self.middle_sizes)

    @property
    def start_stride(self) -> int:
        """Stride of the start depthwise."""
        return 1 if self.middle_dw else self.stride

    @property
    def start_sizes(self) -> tuple[int, ...]:
        """The kernel sizes of the start depthwise, none where it is absent."""
        return (self.start_dw, *self.start_mix) if self.start_dw else ()

    @property
    def middle_sizes(self) -> tuple[int, ...]:
        """The kernel sizes of the middle depthwise, none where it is absent."""
        return (self.middle_dw, *self.middle_mix) if self.middle_dw else ()

    def kernels(self, shape: Shape) -> list[Kernel]:
        start: list[Kernel] = []
        at = shape
        if self.start_dw:
            start = mixed_depthwise("start_dw", at, self.start_sizes, self.start_stride)
            at = at.strided(self.start_stride, at.channels)
        expand = convolution("expand", at, self.expanded_channels, 1, 1, self.act)
        body, at = [*start, *expand], at.strided(1, self.expanded_channels)
        if self.middle_dw:
            body += mixed_depthwise("middle_dw", at, self.middle_sizes, self.stride, self.act)
            at = at.strided(self.stride, at.channels)
        body += excitation(self, at)
        body.append(with_layer_scale(conv("project", at, self.out_channels, 1, 1, norm=True), self.layer_scale))
        return with_residual(body, shape, readers=input_readers(start or expand)) if self.residual else body

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        if self.start_dw:
            x = graph.mixed_depthwise(x, f"{name}.start_dw", self.start_sizes, self.start_stride, "none")
        x = graph.convolution(x, f"{name}.expand", self.expanded_channels, act=self.act)
        if self.middle_dw:
            x = graph.mixed_depthwise(x, f"{name}.middle_dw", self.middle_sizes, self.stride, self.act)
        x = graph.excitation(x, name, self)
        return graph.convolution(x, f"{name}.project", self.out_channels, layer_scale=self.layer_scale)


@dataclass(frozen=True)
class UIBChoices(Choices):
    """The options of a UIB block: pairs of depthwise kernel sizes, and expansion ratios."""

    dws: tuple[DW, ...] = ALL_DW
    expansions: tuple[float, ...] = (COARSE_EXPANSION,)

    @property
    def tag(self) -> str:
        return UIB.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return Choice("dw", self.dws, averaged=True), Choice("expansion", self.expansions)

    @property
    def coarse_values(self) -> Values:
        return self.options_with({"dw": COARSE_DW, "expansion": COARSE_EXPANSION})

    def build(self, values: Values, site: Site) -> Op:
        start, middle = (one if isinstance(one, tuple) else (one,) for one in values["dw"])
        return UIB(
            out_channels=site.out_channels,
            expanded_channels=make_divisible(site.in_channels * values["expansion"]),
            start_dw=start[0],
            middle_dw=middle[0],
            start_mix=start[1:],
            middle_mix=middle[1:],
            stride=site.stride,
            act=site.act,
            residual=site.residual,
        )
