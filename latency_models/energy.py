"""Energy of a network: power draw while it runs, energy per MAC and energy per byte; a sum over kernels."""

import math
from dataclasses import dataclass
from typing import ClassVar

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Kernel
from nas.protocols import Combiner

MJ_PER_PJ = 1e-9


@dataclass(frozen=True)
class Energy:
    """Millijoules of a batch: `power_w` x latency + `pj_per_mac` x MACs + `pj_per_byte` x bytes moved.

    `power_w` is what the device draws whatever it computes (watts times milliseconds are millijoules); free kernels
    cost nothing. Raises `InvalidInput` where a coefficient is negative or not finite.
    """

    combiner: ClassVar[Combiner] = "sum"

    name: str
    latency: Roofline
    power_w: float
    pj_per_mac: float
    pj_per_byte: float

    def __post_init__(self) -> None:
        for field in ("power_w", "pj_per_mac", "pj_per_byte"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidInput(f"{field} of '{self.name}' must be 0 or more and finite, got {value}")

    @property
    def constant(self) -> float:
        """Energy of the launch overhead, in millijoules."""
        return self.power_w * self.latency.constant

    def of_kernel(self, kernel: Kernel) -> float:
        """Return the millijoules of one kernel."""
        time = self.latency.explain(kernel)
        if time.bound == "free":
            return 0.0
        return self.power_w * time.ms + MJ_PER_PJ * (self.pj_per_mac * time.macs + self.pj_per_byte * time.bytes)

    def predict_mj(self, arch: ArchSpec) -> float:
        """Return the energy of one batch in millijoules, kernel by kernel: the reference for cost tables."""
        return self.constant + sum(self.of_kernel(kernel) for kernel in arch.kernels)
