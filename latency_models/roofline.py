"""The roofline latency model: MobileNetV4, arXiv 2404.10518, Eq. 1, with a launch floor and a time per kernel."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Kernel, Kind
from nas.protocols import Combiner

Bound = Literal["compute", "memory", "free"]
PER_MS = 1e6  # 1 GMAC/s is 1e6 MACs in a millisecond; 1 GB/s is 1e6 bytes in one


@dataclass(frozen=True)
class KernelTime:
    """What one kernel costs on one device; times in the unit of the model (milliseconds, unless it is relative)."""

    macs: int
    bytes: float  # moved between the processor and its memory
    macs_per_byte: float  # infinite where no byte moves
    compute_ms: float
    memory_ms: float
    overhead_ms: float
    ms: float
    bound: Bound


@dataclass(frozen=True)
class Roofline:
    """Latency of one picture: `floor_ms` + sum over kernels of max(MACs / peak, bytes / bandwidth) + time per kernel.

    Bytes of a kernel = weights x `bytes_per_weight` x (1 - `weight_on_chip_share`) + activations read and written x
    `bytes_per_activation` x (1 - `on_chip_share`). Kernels of `free_kinds` cost nothing (fused into their neighbours).
    An infinite bandwidth (ridge point 0) leaves the MAC count. Where `relative_to` names a network, all times are in
    units of that network's latency. Raises `InvalidInput` where a figure is out of its range.
    """

    combiner: ClassVar[Combiner] = "sum"

    name: str
    peak_gmacs_per_s: float
    bandwidth_gb_per_s: float
    floor_ms: float = 0.0
    time_per_kernel_us: float = 0.0
    bytes_per_weight: float = 1.0
    bytes_per_activation: float = 1.0
    on_chip_share: float = 0.0
    weight_on_chip_share: float = 0.0
    weight_capacity_kb: float | None = None  # up to here weights do stay on chip; see `caution`
    free_kinds: tuple[Kind, ...] = ()
    relative_to: str | None = None

    def __post_init__(self) -> None:
        self._check("peak_gmacs_per_s", above=0.0)
        self._check("bandwidth_gb_per_s", above=0.0, infinite=True)
        for field in ("floor_ms", "time_per_kernel_us"):
            self._check(field)
        for field in ("bytes_per_weight", "bytes_per_activation"):
            self._check(field, above=0.0)
        for field in ("on_chip_share", "weight_on_chip_share"):
            self._check(field, most=1.0)

    def _check(self, field: str, above: float | None = None, most: float = math.inf, infinite: bool = False) -> None:
        value: float = getattr(self, field)
        lowest = value > above if above is not None else value >= 0
        if not (lowest and value <= most and (infinite or math.isfinite(value))):
            words = "positive" if above is not None else "between 0 and 1" if most == 1 else "0 or more"
            raise InvalidInput(f"{field} of '{self.name}' must be {words} and finite, got {value}")

    @property
    def unit(self) -> str:
        """The unit of all times, for people: "ms" or "x NETWORK"."""
        return "ms" if self.relative_to is None else f"x {self.relative_to}"

    @property
    def ridge_point(self) -> float:
        """MACs per byte above which a kernel is bound by compute."""
        return self.peak_gmacs_per_s / self.bandwidth_gb_per_s

    @property
    def constant(self) -> float:
        """The launch floor, paid once per picture, in the unit of the model."""
        return self.floor_ms

    def weight_bytes(self, kernel: Kernel) -> float:
        """Bytes that the kernel's weights take, wherever they lie."""
        return kernel.weights * self.bytes_per_weight

    def caution(self, arch: ArchSpec) -> str | None:
        """Return why the prediction for `arch` is too low, or None: its weights do not fit on the chip.

        A sum over kernels cannot know this; the latency then lacks the time to stream what does not fit.
        """
        total_kb = sum(self.weight_bytes(kernel) for kernel in arch.kernels) / 1024
        if self.weight_capacity_kb is None or total_kb <= self.weight_capacity_kb:
            return None
        return (
            f"{total_kb:,.0f} KB of weights exceed the {self.weight_capacity_kb:,.0f} KB that stay on '{self.name}': "
            "the latency is a lower bound"
        )

    def explain(self, kernel: Kernel) -> KernelTime:
        """Return the time of one kernel with its parts."""
        if kernel.kind in self.free_kinds:
            return KernelTime(kernel.macs, 0.0, math.inf, 0.0, 0.0, 0.0, 0.0, "free")
        activations = (kernel.reads + kernel.writes) * self.bytes_per_activation
        moved = self.weight_bytes(kernel) * (1 - self.weight_on_chip_share) + activations * (1 - self.on_chip_share)
        compute_ms = kernel.macs / (self.peak_gmacs_per_s * PER_MS)
        memory_ms = moved / (self.bandwidth_gb_per_s * PER_MS)
        overhead_ms = self.time_per_kernel_us / 1e3
        intensity = kernel.macs / moved if moved else math.inf
        ms = max(compute_ms, memory_ms) + overhead_ms
        bound: Bound = "compute" if compute_ms >= memory_ms else "memory"
        return KernelTime(kernel.macs, moved, intensity, compute_ms, memory_ms, overhead_ms, ms, bound)

    def of_kernel(self, kernel: Kernel) -> float:
        """Return the time of one kernel in the unit of the model."""
        return self.explain(kernel).ms

    def predict_ms(self, arch: ArchSpec) -> float:
        """Return the latency of one picture in the unit of the model: the reference path, kernel by kernel."""
        return self.constant + sum(self.of_kernel(kernel) for kernel in arch.kernels)
