"""Inverted residual blocks.

MobileNetV2 (arXiv 1801.04381), V3 (1905.02244), MnasNet (1807.11626), EfficientNet (1905.11946).
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from nas.ops import fields
from nas.ops.base import Act, Gate, Op, Strided
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.excitation import check_excitation, excitation
from nas.ops.fields import PlainAct, plain_act
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape, depthwise, make_divisible, with_residual
from nas.ops.layers import convolution, input_readers, normed


class Bottleneck(Strided):
    """Base of inverted residuals: [1x1 expand] - depthwise - [squeeze-excite or coordinate attention] - 1x1 project.

    Each of the three convolutions is one kernel or several, for subclasses to say.
    """

    expanded_channels: int
    act: Act
    residual: bool
    se_channels: int
    se_act: Act
    se_gate: Gate
    ca_channels: int

    def check(self) -> None:
        check_excitation(self)

    def expand_kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels of the expansion, none where the block has none."""
        return convolution("expand", shape, self.expanded_channels, 1, 1, self.act) if self.expanded_channels else []

    def depthwise_kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels of the depthwise convolution."""
        raise TypeError(f"{type(self).__name__} is no op of its own")

    def project_kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels of the projection."""
        return convolution("project", shape, self.out_channels, 1, 1)

    def kernels(self, shape: Shape) -> list[Kernel]:
        expanded = Shape(shape.height, shape.width, self.expanded_channels or shape.channels)
        strided = expanded.strided(self.stride, expanded.channels)
        expand, middle = self.expand_kernels(shape), self.depthwise_kernels(expanded)
        body = [*expand, *middle, *excitation(self, strided), *self.project_kernels(strided)]
        # The kernels that read the block's input themselves need not hold it for the residual beside.
        return with_residual(body, shape, readers=input_readers(expand or middle)) if self.residual else body


@dataclass(frozen=True)
class InvertedResidual(Bottleneck):
    """MobileNetV2 and V3, MnasNet and EfficientNet block: [1x1 expand] - depthwise - [squeeze-excite] - 1x1 project.

    `expanded_channels` 0 means no expansion; `se_channels`, the width of the squeezed layer, 0 no squeeze-excite. V3
    gates with ReLU and hard sigmoid, the others with `act` and sigmoid. `ca_channels` is the inner width of coordinate
    attention in its place. With several kernel sizes in the depthwise, the block is `MixConv`.
    """

    tag: ClassVar[str] = "inverted_residual"
    fields_added_later: ClassVar[frozenset[str]] = frozenset({"se_act", "se_gate", "ca_channels"})
    out_channels: int = fields.channels()
    expanded_channels: int = fields.optional_channels(MISSING)
    kernel_size: int = fields.kernel_size(3)
    stride: int = fields.stride(1)
    act: Act = fields.choice(Act, "relu6")
    se_channels: int = fields.optional_channels()
    residual: bool = fields.flag(False)
    se_act: Act = fields.choice(PlainAct, "relu")
    se_gate: Gate = fields.choice(Gate, "hard_sigmoid")
    ca_channels: int = fields.optional_channels()

    def depthwise_kernels(self, shape: Shape) -> list[Kernel]:
        return normed(depthwise("depthwise", shape, self.kernel_size, self.stride), self.act)

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        if self.expanded_channels:
            x = graph.convolution(x, f"{name}.expand", self.expanded_channels, act=self.act)
        x = graph.depthwise(x, f"{name}.depthwise", self.kernel_size, self.stride, act=self.act)
        x = graph.excitation(x, name, self)
        return graph.convolution(x, f"{name}.project", self.out_channels)


SqueezeWidth = Callable[[int, int], int]  # (input channels, expanded channels) -> channels of the squeezed layer


def quarter_of_input(channels_in: int, expanded: int) -> int:
    """Return a quarter of the block's input channels, the squeeze-excite width of MnasNet and EfficientNet."""
    return channels_in // 4


def quarter_of_expanded(channels_in: int, expanded: int) -> int:
    """Return a quarter of the expanded channels as a multiple of 8, the squeeze-excite width of MobileNetV3."""
    return make_divisible(expanded // 4)


COORDINATE = "coordinate"  # attention, in place of squeeze-excite
LEAST_COORDINATE = 8  # channels between its layers, else 1/32 of the map's (arXiv 2103.02907, section 3.2)


class BottleneckChoices(Choices):
    """Base of the choices of inverted residuals: "expansion", where 1 means none, and "excited".

    `excited` says whether there is a squeeze-excite, or coordinate attention in its place, `COORDINATE`. `squeeze`
    gives the width of the former; `se_act` None is the activation of the block (ReLU for an EvoNorm).
    """

    expansions: tuple[float, ...]
    squeeze_excite: tuple[bool | str, ...]
    squeeze: SqueezeWidth
    se_act: PlainAct | None
    se_gate: Gate

    @property
    def coarse_values(self) -> Values:
        return self.options_with({"expansion": self.expansions[len(self.expansions) // 2]})

    def fields(self, values: Values, site: Site) -> dict[str, Any]:
        """Return the fields of the op that do not depend on its depthwise convolution, but for its residual."""
        expansion, excited = values["expansion"], values["excited"]
        expanded = make_divisible(site.in_channels * expansion)
        return {
            "out_channels": site.out_channels,
            "expanded_channels": expanded if expansion != 1 else 0,
            "stride": site.stride,
            "act": site.act,
            "se_channels": self.squeeze(site.in_channels, expanded) if excited is True else 0,
            "ca_channels": max(LEAST_COORDINATE, expanded // 32) if excited == COORDINATE else 0,
            "se_act": self.se_act or plain_act(site.act),
            "se_gate": self.se_gate,
        }


@dataclass(frozen=True)
class InvertedResidualChoices(BottleneckChoices):
    """The options of an inverted residual; see `BottleneckChoices`.

    `skips` says whether a block that can add its input does: with both options a choice, which counts in all blocks of
    a stage but the first.
    """

    kernel_sizes: tuple[int, ...]
    expansions: tuple[float, ...]
    squeeze_excite: tuple[bool | str, ...] = (False,)
    squeeze: SqueezeWidth = quarter_of_input
    se_act: PlainAct | None = "relu"
    se_gate: Gate = "hard_sigmoid"
    skips: tuple[bool, ...] = (True,)

    @property
    def tag(self) -> str:
        return InvertedResidual.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (
            Choice("kernel", self.kernel_sizes),
            Choice("expansion", self.expansions),
            Choice("excited", self.squeeze_excite),
            *([Choice("skip", self.skips)] if len(self.skips) > 1 else []),
        )

    def build(self, values: Values, site: Site) -> Op:
        residual = site.residual and values.get("skip", self.skips[0])
        return InvertedResidual(**self.fields(values, site), kernel_size=values["kernel"], residual=residual)
