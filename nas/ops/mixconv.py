"""MixNet's block: an inverted residual whose depthwise convolution mixes several kernel sizes (arXiv 1907.09595)."""

from dataclasses import MISSING, dataclass
from typing import ClassVar

from nas.ops import fields
from nas.ops.base import Act, Gate, Op
from nas.ops.choices import Choice, Site, Values
from nas.ops.fields import PlainAct
from nas.ops.graph import Lowering, Value
from nas.ops.inverted_residual import Bottleneck, BottleneckChoices, SqueezeWidth, quarter_of_input
from nas.ops.kernels import Kernel, Shape
from nas.ops.layers import grouped_pointwise, mixed_depthwise


@dataclass(frozen=True)
class MixConv(Bottleneck):
    """MixNet block, arXiv 1907.09595: an `InvertedResidual` with a depthwise convolution of several kernel sizes.

    Each size takes a share of the channels, in the order of `kernel_sizes`; the 1x1 convolutions may be grouped, each
    group a kernel of its own as in the authors' code. Shares are equal, the remainder in the first. EvoNorm works on
    each share alone. `expanded_channels` 0 means no expansion.
    """

    tag: ClassVar[str] = "mixconv"
    fields_added_later: ClassVar[frozenset[str]] = frozenset({"ca_channels"})
    out_channels: int = fields.channels()
    expanded_channels: int = fields.optional_channels(MISSING)
    kernel_sizes: tuple[int, ...] = fields.kernel_sizes((3,))
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu")
    expand_groups: int = fields.count(1)
    project_groups: int = fields.count(1)
    se_channels: int = fields.optional_channels()
    residual: bool = fields.flag(False)
    se_act: Act = fields.choice(PlainAct, "relu")
    se_gate: Gate = fields.choice(Gate, "sigmoid")
    ca_channels: int = fields.optional_channels()

    def expand_kernels(self, shape: Shape) -> list[Kernel]:
        if not self.expanded_channels:
            return []
        return grouped_pointwise("expand", shape, self.expanded_channels, self.expand_groups, self.act)

    def depthwise_kernels(self, shape: Shape) -> list[Kernel]:
        return mixed_depthwise("depthwise", shape, self.kernel_sizes, self.stride, self.act)

    def project_kernels(self, shape: Shape) -> list[Kernel]:
        return grouped_pointwise("project", shape, self.out_channels, self.project_groups)

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        if self.expanded_channels:
            x = graph.grouped(x, f"{name}.expand", self.expanded_channels, self.expand_groups, self.act)
        x = graph.mixed_depthwise(x, f"{name}.depthwise", self.kernel_sizes, self.stride, self.act)
        x = graph.excitation(x, name, self)
        return graph.grouped(x, f"{name}.project", self.out_channels, self.project_groups)


@dataclass(frozen=True)
class MixConvChoices(BottleneckChoices):
    """The options of a MixNet block: tuples of kernel sizes, "kernels", and those of `BottleneckChoices`.

    The 1x1 convolutions are not grouped.
    """

    kernel_sizes: tuple[tuple[int, ...], ...]
    expansions: tuple[float, ...]
    squeeze_excite: tuple[bool | str, ...] = (False,)
    squeeze: SqueezeWidth = quarter_of_input
    se_act: PlainAct | None = None
    se_gate: Gate = "sigmoid"

    @property
    def tag(self) -> str:
        return MixConv.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (
            Choice("kernels", self.kernel_sizes),
            Choice("expansion", self.expansions),
            Choice("excited", self.squeeze_excite),
        )

    def build(self, values: Values, site: Site) -> Op:
        return MixConv(**self.fields(values, site), kernel_sizes=values["kernels"], residual=site.residual)
