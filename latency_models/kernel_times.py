"""The times of all kernels of many networks at once: `Roofline` over arrays, equal to its scalar form bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import PER_MS, Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS, Kernel
from nas.protocols import LatencyModel


@dataclass(frozen=True)
class KernelColumns:
    """The kernels of several architectures as arrays [K]; those of number i are `slices[i]`. For one image."""

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
    """Return the time of each kernel [K] in the unit of `model`, and what bounds it [K]: "compute", "memory", "free".

    A model that is not a `Roofline` is called kernel by kernel; its bounds are unknown, "".
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
    if model.corrections:
        of_compute, of_memory = model.factors.of_all(columns.kernels).T
        compute, memory = compute * of_compute, memory * of_memory
    times = (np.maximum(compute, memory) if model.overlap else compute + memory) + model.time_per_kernel_us / 1e3
    free = np.array([kind in model.free_kinds for kind in KINDS])[columns.kinds]
    bounds = np.where(free, "free", np.where(compute >= memory, "compute", "memory"))
    return np.where(free, 0.0, times), bounds


def totals(columns: KernelColumns, times: NDArray[np.float64], model: LatencyModel) -> list[float]:
    """Return the latency of each architecture: the model's constant and the times of its kernels, added in order."""
    values = times.tolist()
    return [model.constant + sum(values[own]) for own in columns.slices]
