"""A block family from outside: half of the channels by a 1x1 convolution, the others by a depthwise one of those.

GhostNet's module (arXiv 1911.11907, section 3.1), without activations in the cheap half. The op is pure; its Flax block
stands in the same file. An entry of nas.ops.FAMILIES makes it usable.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax import Array

from nas.nn.layers import Convolution, Depthwise, Normalise
from nas.ops import Act, Family, Kernel, Op, Shape, fields
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import conv, depthwise

FAMILY = Family("tests.extending.op:Ghost", "tests.extending.op:GhostBlock")


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


class GhostBlock(nnx.Module):
    """The ghost module in Flax."""

    def __init__(self, in_channels: int, half: int, kernel_size: int = 3, act: str = "relu", **common: Any) -> None:
        self.primary = Convolution(in_channels, half, act=act, **common)
        self.cheap = Depthwise(half, kernel_size, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return _joined(primary := self.primary(x, normalise), self.cheap(primary, normalise))


def _joined(left: Array, right: Array) -> Array:
    return jnp.concatenate([left, right], axis=-1)
