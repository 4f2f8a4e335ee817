"""The blocks of a network: each op, and the head, with a description, its shapes and which kernels it consists of."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops import Kernel, Shape

HEAD = "head"


@dataclass(frozen=True)
class NetworkBlock:
    """One op of a network, or its head: kernels number `first` to `last` - 1 of the architecture."""

    position: str  # "stage.op" or "head"
    tag: str
    description: str  # "UIB ExtraDW k3+k5, 96-384-96, skip"
    in_shape: Shape
    out_shape: Shape
    residual: bool
    first: int
    last: int

    @property
    def stage(self) -> str:
        """The name of the stage: "stage 2", or "head"."""
        stage = self.position.partition(".")[0]
        return stage if stage == HEAD else f"stage {stage}"

    def sum_of(self, values: NDArray[Any]) -> float:
        """Return the sum over the block's kernels of `values` [K], one value per kernel of the architecture."""
        return float(values[self.first : self.last].sum())


def network_blocks(arch: ArchSpec) -> tuple[NetworkBlock, ...]:
    """Return the blocks of `arch` in order, the head last."""
    counts: dict[str, int] = {}
    for kernel in arch.kernels:
        position = block_position(kernel.name)
        counts[position] = counts.get(position, 0) + 1
    found, first = [], 0
    for position, op, shape in arch.iter_ops():
        last = first + counts.get(position, 0)
        residual = bool(getattr(op, "residual", False))
        out = op.out_shape(shape)
        found.append(NetworkBlock(position, op.tag, op.describe(shape), shape, out, residual, first, last))
        first = last
    hidden = f", hidden layer of {arch.head.hidden:,}" if arch.head.hidden else ""
    description = f"average pool{hidden}, {arch.num_classes:,} classes"
    out = Shape(1, 1, arch.num_classes)
    head = NetworkBlock(HEAD, HEAD, description, arch.final_feature_map, out, False, first, len(arch.kernels))
    return (*found, head)


def block_position(kernel_name: str) -> str:
    """Return the position of the block that a kernel belongs to: "2.0" for "2.0.expand", "head" for "head.pool"."""
    stage, _, rest = kernel_name.partition(".")
    return stage if stage == HEAD else f"{stage}.{rest.partition('.')[0]}"


def name_in_block(kernel: Kernel) -> str:
    """Return the name of a kernel within its block: "expand" for "2.0.expand"."""
    return kernel.name.removeprefix(f"{block_position(kernel.name)}.")
