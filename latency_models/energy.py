"""Energy of a network: power draw while it runs, energy per MAC and energy per byte; a sum over kernels.

Beside it what an always-on device needs a day, and the batteries of such devices (Speckhard et al. 2022, 2202.05397).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from latency_models.latency_error import UNKNOWN, LatencyError
from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Kernel
from nas.protocols import Combiner

MJ_PER_PJ = 1e-9
MJ_PER_J = 1000
INFERENCES_A_DAY = 86_400  # one a second
BATTERIES_J = {"a phone": 51_000.0, "a watch": 3_600.0, "earbuds": 700.0}  # arXiv 2202.05397
COMPUTED_ENERGY = "computed, error not known"


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
    error: LatencyError = UNKNOWN  # of its predictions, as for latencies

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


def joules_a_day(energy_mj: float) -> float:
    """Return the joules of one inference a second for a day, each of `energy_mj`; nothing else draws power."""
    return energy_mj * INFERENCES_A_DAY / MJ_PER_J


def battery_shares(energy_mj: float) -> dict[str, float]:
    """Return by device what share of its battery one inference a second takes in a day; 1 empties it."""
    return {device: joules_a_day(energy_mj) / battery for device, battery in BATTERIES_J.items()}
