"""Roofline latency model: MobileNetV4, arXiv 2404.10518, Eq. 1, with launch overheads and efficiencies per kind."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from latency_models.corrections import Correction, FactorTable, pixels_of
from latency_models.extrapolation import Cell, map_size
from latency_models.latency_error import UNKNOWN, LatencyError, Opinions
from latency_models.unsupported import Unsupported, refusal_texts
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import KINDS, Kernel, Kind
from nas.protocols import Combiner

Bound = Literal["compute", "memory", "free"]
PER_MS = 1e6  # 1 GMAC/s is 1e6 MACs in a millisecond; 1 GB/s is 1e6 bytes in one


@dataclass(frozen=True)
class KernelTime:
    """The time of one kernel on one device and its terms, in the unit of the model (ms, unless it is relative)."""

    macs: int  # of the whole batch
    bytes: float  # moved between the processor and its memory
    macs_per_byte: float  # infinite where no byte moves
    compute_ms: float
    memory_ms: float
    overhead_ms: float
    ms: float
    bound: Bound


@dataclass(frozen=True)
class CalibratedRange:
    """The range of the networks that a model was fitted on: predictions beyond it are extrapolations."""

    latency_ms: tuple[float, float]  # smallest and largest
    macs: tuple[int, int]  # of one image
    kinds: tuple[Kind, ...]  # that at least one of them runs


@dataclass(frozen=True)
class Roofline:
    """Latency of a batch: `launch_overhead_ms` + sum over kernels of their time + `time_per_kernel_us` each.

    The time of a kernel is max(compute, memory) / efficiency, with compute = MACs / peak and memory = bytes / bandwidth
    / memory efficiency; their sum instead of their maximum where `overlap` is False. The efficiencies are those of the
    kernel's kind (1 where it is not listed). MACs and activations count for all images of the batch, weights once.
    Where a row of `corrections` applies to a kernel, its compute and memory time are multiplied by the factors of that
    row before their larger or their sum is taken.
    Bytes of a kernel = weights x `bytes_per_weight` x (1 - `weight_on_chip_share`) + activations read and written x
    `bytes_per_activation` x (1 - `on_chip_share`). Kernels of `free_kinds` cost nothing (fused into their neighbours).
    An infinite bandwidth (ridge point 0) leaves the MAC count. Where `relative_to` names a network, all times are in
    units of that network's latency. Raises `InvalidInput` where a value is out of its range.
    """

    combiner: ClassVar[Combiner] = "sum"

    name: str
    peak_gmacs_per_s: float
    bandwidth_gb_per_s: float
    launch_overhead_ms: float = 0.0  # once per batch
    time_per_kernel_us: float = 0.0
    bytes_per_weight: float = 1.0
    bytes_per_activation: float = 1.0
    on_chip_share: float = 0.0
    weight_on_chip_share: float = 0.0
    weight_capacity_kb: float | None = None  # up to here weights do stay on chip; see `caution`
    free_kinds: tuple[Kind, ...] = ()
    relative_to: str | None = None
    kind_efficiency: tuple[tuple[Kind, float], ...] = ()
    kind_memory_efficiency: tuple[tuple[Kind, float], ...] = ()  # of the bandwidth alone, times that of the kind
    corrections: tuple[Correction, ...] = ()  # of the times, by the shape of a kernel; the first that applies counts
    overlap: bool = True  # whether a kernel computes while it moves bytes
    batch: int = 1  # images in the latency that the model predicts
    calibrated: CalibratedRange | None = None  # see `caution`
    unsupported: tuple[Unsupported, ...] = ()  # by the runtime of the device; see `caution`
    latency_error: LatencyError = UNKNOWN  # see `latency_models.latency_error.error_of`
    setup: str = ""  # runtime, threads and dtype of the latencies, as far as they are known

    def __post_init__(self) -> None:
        self._check("peak_gmacs_per_s", above=0.0)
        self._check("bandwidth_gb_per_s", above=0.0, infinite=True)
        for field in ("launch_overhead_ms", "time_per_kernel_us"):
            self._check(field)
        for field in ("bytes_per_weight", "bytes_per_activation"):
            self._check(field, above=0.0)
        for field in ("on_chip_share", "weight_on_chip_share"):
            self._check(field, most=1.0)
        for kind, efficiency in (*self.kind_efficiency, *self.kind_memory_efficiency):
            if not (math.isfinite(efficiency) and efficiency > 0):
                raise InvalidInput(
                    f"efficiency of kind '{kind}' of '{self.name}' must be positive and finite, got {efficiency}"
                )
        if self.batch < 1:
            raise InvalidInput(f"batch of '{self.name}' must be at least 1, got {self.batch}")

    def _check(self, field: str, above: float | None = None, most: float = math.inf, infinite: bool = False) -> None:
        """Raise `InvalidInput` unless a field is finite, at least 0 (or larger than `above`) and at most `most`."""
        value: float = getattr(self, field)
        lowest = value > above if above is not None else value >= 0
        if not (lowest and value <= most and (infinite or math.isfinite(value))):
            allowed = "positive" if above is not None else "between 0 and 1" if most == 1 else "0 or more"
            raise InvalidInput(f"{field} of '{self.name}' must be {allowed} and finite, got {value}")

    @property
    def unit(self) -> str:
        """The unit of all times as text: "ms" or "x NETWORK"."""
        return "ms" if self.relative_to is None else f"x {self.relative_to}"

    @property
    def ridge_point(self) -> float:
        """MACs per byte above which a kernel is bound by compute."""
        return self.peak_gmacs_per_s / self.bandwidth_gb_per_s

    @property
    def constant(self) -> float:
        """The launch overhead, once per batch, in the unit of the model."""
        return self.launch_overhead_ms

    @cached_property
    def efficiencies(self) -> dict[Kind, tuple[float, float]]:
        """Share of the peak and share of the bandwidth that kernels of a kind reach."""
        both, memory = dict(self.kind_efficiency), dict(self.kind_memory_efficiency)
        return {kind: (both.get(kind, 1.0), both.get(kind, 1.0) * memory.get(kind, 1.0)) for kind in KINDS}

    @cached_property
    def factors(self) -> FactorTable:
        """The factors of the corrections by kind and shape of a kernel."""
        return FactorTable(self.corrections)

    def weight_bytes(self, kernel: Kernel) -> float:
        """Bytes that the kernel's weights take, wherever they lie."""
        return kernel.weights * self.bytes_per_weight

    def moved_bytes(self, kernel: Kernel) -> float:
        """Bytes that the kernel moves between the processor and its memory for the whole batch."""
        activations = (kernel.reads + kernel.writes) * self.batch * self.bytes_per_activation
        return self.weight_bytes(kernel) * (1 - self.weight_on_chip_share) + activations * (1 - self.on_chip_share)

    def caution(self, arch: ArchSpec) -> str | None:
        """Return why the prediction for `arch` cannot be trusted as others can, or None.

        The device does not run one of its ops, its weights do not fit on the chip (a sum over kernels cannot know this;
        the latency then lacks the time to stream what does not fit), or it lies outside what the model was calibrated
        on.
        """
        cautions = list(refusal_texts(self, arch))
        if known := self._exceeds(arch) or self._extrapolates(arch):
            cautions.append(known)
        return "; ".join(cautions) or None

    def _exceeds(self, arch: ArchSpec) -> str | None:
        """Return by how much the weights of `arch` are too large for the chip, or None."""
        total_kb = sum(self.weight_bytes(kernel) for kernel in arch.kernels) / 1024
        if self.weight_capacity_kb is None or total_kb <= self.weight_capacity_kb:
            return None
        return (
            f"{total_kb:,.0f} KiB of weights exceed the {self.weight_capacity_kb:,.0f} KiB that stay on '{self.name}': "
            "the latency is a lower bound"
        )

    def _extrapolates(self, arch: ArchSpec) -> str | None:
        """Return how `arch` lies outside the calibrated range, or None."""
        if self.calibrated is None:
            return None
        (fastest, slowest), (fewest, most) = self.calibrated.latency_ms, self.calibrated.macs
        kinds = {kernel.kind for kernel in arch.kernels} - {*self.calibrated.kinds, *self.free_kinds}
        latency = self.predict_ms(arch)
        beyond = []
        if not fastest * 0.99 <= latency <= slowest * 1.01:  # the model's own error decides nothing here
            beyond.append(f"{latency:.3g} ms lie outside the measured {fastest:.3g} to {slowest:.3g} ms")
        if not fewest <= arch.macs <= most:
            beyond.append(
                f"{arch.macs / 1e6:,.0f} M MACs outside the measured {fewest / 1e6:,.0f} to {most / 1e6:,.0f} M"
            )
        if kinds:
            beyond.append(f"no measured network has kernels of kind {', '.join(sorted(kinds))}")
        return f"'{self.name}' is extrapolated: {'; '.join(beyond)}" if beyond else None

    def explain(self, kernel: Kernel) -> KernelTime:
        """Return the time of one kernel with its terms: compute, memory, overhead."""
        if kernel.kind in self.free_kinds:
            return KernelTime(kernel.macs * self.batch, 0.0, math.inf, 0.0, 0.0, 0.0, 0.0, "free")
        macs, moved = kernel.macs * self.batch, self.moved_bytes(kernel)
        of_peak, of_bandwidth = self.efficiencies[kernel.kind]
        compute_ms = macs / (self.peak_gmacs_per_s * PER_MS) / of_peak
        memory_ms = moved / (self.bandwidth_gb_per_s * PER_MS) / of_bandwidth
        if self.corrections:
            of_compute, of_memory = self.factors.of(kernel)
            compute_ms, memory_ms = compute_ms * of_compute, memory_ms * of_memory
        overhead_ms = self.time_per_kernel_us / 1e3
        intensity = macs / moved if moved else math.inf
        ms = (max(compute_ms, memory_ms) if self.overlap else compute_ms + memory_ms) + overhead_ms
        bound: Bound = "compute" if compute_ms >= memory_ms else "memory"
        return KernelTime(macs, moved, intensity, compute_ms, memory_ms, overhead_ms, ms, bound)

    def of_kernel(self, kernel: Kernel) -> float:
        """Return the time of one kernel in the unit of the model."""
        return self.explain(kernel).ms

    def opinions(self, arch: ArchSpec) -> Opinions:
        """Return the latency of `arch`, that by the second opinion, and how unlike the measured it is."""
        own, known = self.predict_ms(arch), self.latency_error.second
        if known is None:
            return Opinions(own, own, 0.0, self._distance(arch))
        second = replace(
            self,
            peak_gmacs_per_s=known.peak_gmacs_per_s,
            bandwidth_gb_per_s=known.bandwidth_gb_per_s,
            launch_overhead_ms=known.floor_ms,
            time_per_kernel_us=0.0,
            kind_efficiency=(),
            kind_memory_efficiency=(),
            corrections=(),
            overlap=True,
        )
        unmeasured = [kernel for kernel in arch.kernels if not self.factors.measured(kernel)]
        share = sum(map(self.of_kernel, unmeasured)) / own
        return Opinions(own, second.predict_ms(arch), share, self._distance(arch))

    def _distance(self, arch: ArchSpec) -> float:
        """Return the distance of `arch` to the nearest measured network, 0 where nothing is known of these."""
        known = self.latency_error.extrapolation
        if known is None:
            return 0.0
        macs: dict[Cell, float] = defaultdict(float)
        moved: dict[Cell, float] = defaultdict(float)
        for kernel in arch.kernels:
            if kernel.kind not in self.free_kinds:
                cell = kernel.kind, map_size(pixels_of(kernel))
                macs[cell] += kernel.macs
                moved[cell] += self.moved_bytes(kernel)
        return known.distance(macs, moved)

    def predict_ms(self, arch: ArchSpec) -> float:
        """Return the latency of one batch in the unit of the model, kernel by kernel: the reference for cost tables."""
        return self.constant + sum(self.of_kernel(kernel) for kernel in arch.kernels)
