"""A block family from outside: half of the channels by a 1x1 convolution, the others by a depthwise one of those.

GhostNet's module (arXiv 1911.11907, section 3.1), without activations in the cheap half. The op and what a search may
choose about it are pure; its Flax block and its form with shared weights stand in the same file. An entry of
nas.ops.FAMILIES makes it usable.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Depthwise, Normalise
from nas.nn.primitives import pointwise
from nas.ops import Act, Family, Kernel, Op, Shape, fields
from nas.ops.choices import Choice, Choices, Site, Values
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import conv, depthwise
from nas.supernet.blocks.base import SearchableOp, SwitchableDepthwise
from nas.supernet.layers import BlockContext, ConvBN, mask_input_channels
from nas.supernet.tables import IN_CHANNELS, Chosen, PossibleOps

FAMILY = Family("tests.extending.op:Ghost", "tests.extending.op:GhostBlock", "tests.extending.op:SearchableGhost")


@dataclass(frozen=True)
class Ghost(Op):
    """Ghost module: `half` channels by a 1x1 convolution, as many again by a depthwise convolution of these."""

    tag: ClassVar[str] = "ghost"
    half: int = fields.channels()
    kernel_size: int = fields.kernel_size(3)
    act: Act = fields.choice(Act, "relu")

    def out_shape(self, shape: Shape) -> Shape:
        return shape.strided(1, 2 * self.half)

    def kernels(self, shape: Shape) -> list[Kernel]:
        primary = conv("primary", shape, self.half, 1, 1, norm=True)
        return [primary, depthwise("cheap", primary.out_shape, self.kernel_size, 1)]

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        primary = graph.convolution(x, f"{name}.primary", self.half, act=self.act)
        cheap = graph.depthwise(primary, f"{name}.cheap", self.kernel_size, 1)
        return graph.writer.concat(f"{name}.concat", [primary, cheap])


@dataclass(frozen=True)
class GhostChoices(Choices):
    """The kernel sizes of a ghost module."""

    kernel_sizes: tuple[int, ...]

    @property
    def tag(self) -> str:
        return Ghost.tag

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice("kernel", self.kernel_sizes),)

    def build(self, values: Values, site: Site) -> Op:
        return Ghost(site.out_channels // 2, values["kernel"], site.act)


class GhostBlock(nnx.Module):
    """The ghost module in Flax."""

    def __init__(self, in_channels: int, half: int, kernel_size: int = 3, act: str = "relu", **common: Any) -> None:
        self.primary = Convolution(in_channels, half, act=act, **common)
        self.cheap = Depthwise(half, kernel_size, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return _joined(primary := self.primary(x, normalise), self.cheap(primary, normalise))


def _joined(left: Array, right: Array) -> Array:
    return jnp.concatenate([left, right], axis=-1)


class SearchableGhost(SearchableOp):
    """The ghost module with shared weights."""

    COUNTS = ("half",)
    NUMBERS = ("act",)
    SWITCHED = ("kernel_size",)
    LAYERS: ClassVar = {"cheap": "cheap.units"}

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        super().__init__(ops, rng, stack)
        self.half = ops.most("half")
        self.primary = ConvBN((ops.in_channels, self.half), rng, stack)
        self.cheap = SwitchableDepthwise(tuple(ops.values("kernel_size")), self.half, rng, stack)

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        weight = mask_input_channels(self.primary.weight[...], op[IN_CHANNELS]).astype(x.dtype)
        primary = self.act(op)(self.primary.norm(pointwise(x, weight), context))
        joined = _joined(primary, self.cheap(primary, op["kernel_size"], 1, lambda y: y, context))
        if op["half"] is None:
            return joined
        # Behind the channels of the first half that are in use come those of the second.
        channel = jnp.arange(2 * self.half)
        return joined[..., jnp.where(channel < op["half"], channel, channel - op["half"] + self.half)]
