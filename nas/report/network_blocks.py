"""A network taken apart: its blocks in words and kernels, and what every kernel costs on a device, at once for all.

`kernel_times` is the roofline of `latency_models.roofline` over arrays; it equals the reference path bit for bit.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops import Kernel, Shape
from nas.ops.description import describe_op

HEAD = "head"


@dataclass(frozen=True)
class NetworkBlock:
    """One op of a network, or its head: kernels number `first` to `last` - 1 of the architecture."""

    position: str  # "stage.op" or "head"
    tag: str
    words: str  # "UIB ExtraDW k3+k5, 96-384-96, skip"
    in_shape: Shape
    out_shape: Shape
    residual: bool
    first: int
    last: int

    @property
    def stage(self) -> str:
        """ "stage 2" or "head"."""
        stage = self.position.partition(".")[0]
        return stage if stage == HEAD else f"stage {stage}"

    def of(self, values: NDArray[Any]) -> float:
        """Return the sum of the block's part of `values` [K], one value per kernel of the architecture."""
        return float(values[self.first : self.last].sum())


def blocks(arch: ArchSpec) -> tuple[NetworkBlock, ...]:
    """Return the blocks of `arch` in order, the head last."""
    counts: dict[str, int] = {}
    for kernel in arch.kernels:
        counts[owner(kernel.name)] = counts.get(owner(kernel.name), 0) + 1
    found, first = [], 0
    for position, op, shape in arch.iter_ops():
        last = first + counts.get(position, 0)
        residual = bool(getattr(op, "residual", False))
        out = op.out_shape(shape)
        found.append(NetworkBlock(position, op.tag, describe_op(op, shape), shape, out, residual, first, last))
        first = last
    hidden = f", hidden layer of {arch.head.hidden:,}" if arch.head.hidden else ""
    words = f"average pool{hidden}, {arch.num_classes:,} classes"
    out = Shape(1, 1, arch.num_classes)
    return (*found, NetworkBlock(HEAD, HEAD, words, arch.final_feature_map, out, False, first, len(arch.kernels)))


def owner(kernel_name: str) -> str:
    """Return the op of a kernel: "2.0" for "2.0.expand", "head" for "head.pool"."""
    stage, _, rest = kernel_name.partition(".")
    return stage if stage == HEAD else f"{stage}.{rest.partition('.')[0]}"


def own_name(kernel: Kernel) -> str:
    """Return the name of a kernel within its block: "expand" for "2.0.expand"."""
    return kernel.name.removeprefix(f"{owner(kernel.name)}.")
