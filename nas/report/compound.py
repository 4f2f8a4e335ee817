"""A network before and after compound scaling: input, ops, parameters, MACs, latency, as plain rows."""

from dataclasses import dataclass
from typing import Any

from latency_models.latency_error import error_of
from latency_models.roofline import Roofline
from nas.arch import ArchSpec


@dataclass(frozen=True)
class ScaledCosts:
    """A network with its latency on one device, in the unit of the model.

    `interval_percent` is the half-width that holds 90 % of the latencies of unseen networks, None where it is unknown.
    """

    arch: ArchSpec
    latency: float
    interval_percent: float | None

    @classmethod
    def of(cls, arch: ArchSpec, model: Roofline) -> "ScaledCosts":
        """Return the costs of `arch`; the interval is that of the model, and holds where it does not extrapolate."""
        return cls(arch, model.predict_ms(arch), None if model.caution(arch) else error_of(model, arch).percent)

    @property
    def ops(self) -> int:
        """The number of ops in the stages."""
        return sum(map(len, self.arch.stages))

    def to_json(self, latency_key: str) -> dict[str, Any]:
        """Return the costs as plain JSON values."""
        return {
            "name": self.arch.name, "input_shape": list(self.arch.input_shape), "ops": self.ops,
            "params": self.arch.params, "macs": self.arch.macs, latency_key: self.latency,
            "interval_90_percent": self.interval_percent,
        }  # fmt: skip
