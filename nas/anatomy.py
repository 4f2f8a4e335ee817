"""A network taken apart: its blocks in words and kernels, and what every kernel costs on a device, at once for all.

`kernel_times` is the roofline of `latency_models.roofline` over arrays; it equals the reference path bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import PER_MS, Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS, Kernel, Shape
from nas.protocols import LatencyModel

HEAD = "head"


@dataclass(frozen=True)
class Block:
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


def blocks(arch: ArchSpec) -> tuple[Block, ...]:
    """Return the blocks of `arch` in order, the head last."""
    counts: dict[str, int] = {}
    for kernel in arch.kernels:
        counts[owner(kernel.name)] = counts.get(owner(kernel.name), 0) + 1
    found, first = [], 0
    for position, op, shape in arch.walk():
        last = first + counts.get(position, 0)
        residual = bool(getattr(op, "residual", False))
        out = op.out_shape(shape)
        found.append(Block(position, op.tag, op_words(op, shape), shape, out, residual, first, last))
        first = last
    hidden = f", hidden layer of {arch.head.hidden:,}" if arch.head.hidden else ""
    words = f"average pool{hidden}, {arch.num_classes:,} classes"
    out = Shape(1, 1, arch.num_classes)
    return (*found, Block(HEAD, HEAD, words, arch.last_map, out, False, first, len(arch.kernels)))


def owner(kernel_name: str) -> str:
    """Return the op of a kernel: "2.0" for "2.0.expand", "head" for "head.pool"."""
    stage, _, rest = kernel_name.partition(".")
    return stage if stage == HEAD else f"{stage}.{rest.partition('.')[0]}"


def own_name(kernel: Kernel) -> str:
    """Return the name of a kernel within its block: "expand" for "2.0.expand"."""
    return kernel.name.removeprefix(f"{owner(kernel.name)}.")


def op_words(op: Any, shape: Shape) -> str:
    """Return an op on an input of `shape` in few words: name, kernels, widths, stride."""
    name = f"UIB {op.variant}" if op.tag == "uib" else op.tag.replace("_", " ")
    if op.tag == "mobile_mqa":
        return f"{name}, {op.heads} heads, key {op.key_dim}, value {op.value_dim}, kv stride {op.kv_stride}"
    kernels = [getattr(op, field, 0) for field in ("start_dw", "middle_dw", "kernel")]
    kernels += getattr(op, "kernel_sizes", ())
    sizes = "+".join(f"k{kernel}" for kernel in kernels if kernel)
    expanded = getattr(op, "expanded_channels", 0)
    widths = "-".join(str(n) for n in (shape.channels, expanded, op.out_channels) if n)
    extras = [f"s{op.stride}"] if op.stride > 1 else []
    extras += ["squeeze-excite"] if getattr(op, "se_channels", 0) else []
    extras += ["skip"] if getattr(op, "residual", False) else []
    return ", ".join(part for part in (f"{name} {sizes}".strip(), widths, *extras) if part)


@dataclass(frozen=True)
class KernelColumns:
    """The kernels of several architectures as arrays [K]; those of number i are `slices[i]`. For one picture."""

    macs: NDArray[np.float64]
    weights: NDArray[np.float64]
    activations: NDArray[np.float64]  # elements read and written
    kinds: NDArray[np.intp]  # index into `nas.ops.KINDS`
    slices: tuple[slice, ...]
    kernels: tuple[Kernel, ...]


def kernel_columns(archs: Sequence[ArchSpec]) -> KernelColumns:
    """Return the kernels of all `archs`, one architecture after the other."""
    kernels = tuple(kernel for arch in archs for kernel in arch.kernels)
    ends = np.cumsum([len(arch.kernels) for arch in archs]).tolist()
    counts = [(k.macs, k.weights, k.reads + k.writes, KINDS.index(k.kind)) for k in kernels]
    macs, weights, activations, kinds = np.array(counts, np.float64).reshape(-1, 4).T
    slices = tuple(slice(first, last) for first, last in zip([0, *ends], ends, strict=False))
    return KernelColumns(macs, weights, activations, kinds.astype(np.intp), slices, kernels)


def kernel_times(columns: KernelColumns, model: LatencyModel) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Return the time of each kernel [K] in the unit of `model` and what bounds it [K]: "compute", "memory", "free".

    A model that is no roofline is asked kernel by kernel, and says nothing about bounds: they are "".
    """
    if type(model) is not Roofline:
        times = np.array([model.of_kernel(kernel) for kernel in columns.kernels], np.float64)
        return times, np.full(len(times), "")
    of_peak, of_bandwidth = np.array([model.efficiencies[kind] for kind in KINDS]).T[:, columns.kinds]
    moved = columns.weights * model.bytes_per_weight * (1 - model.weight_on_chip_share) + (
        columns.activations * model.batch * model.bytes_per_activation
    ) * (1 - model.on_chip_share)
    compute = columns.macs * model.batch / (model.peak_gmacs_per_s * PER_MS) / of_peak
    memory = moved / (model.bandwidth_gb_per_s * PER_MS) / of_bandwidth
    times = (np.maximum(compute, memory) if model.overlap else compute + memory) + model.time_per_kernel_us / 1e3
    free = np.array([kind in model.free_kinds for kind in KINDS])[columns.kinds]
    bounds = np.where(free, "free", np.where(compute >= memory, "compute", "memory"))
    return np.where(free, 0.0, times), bounds


def totals(columns: KernelColumns, times: NDArray[np.float64], model: LatencyModel) -> list[float]:
    """Return the latency of each architecture: the model's constant and the times of its kernels, added in order."""
    values = times.tolist()
    return [model.constant + sum(values[part]) for part in columns.slices]
