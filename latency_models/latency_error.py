"""`LatencyError`: how far the latencies that a target predicts can be trusted, as one number.

The number is the half-width of a 90 % interval in percent of the prediction: of networks that the model was not fitted
to, 90 % were measured within it. "0.686 ms ± 18 %" says that such a network takes 0.56 to 0.81 ms in 9 of 10 cases. It
comes from cross-validation ([calibration] of a target file) or from a published fit ([error]). Where nothing was
measured there is no number, and the basis says so. The mean absolute error is kept beside it; it is about half as
large, 1 / 2.06 for normal errors.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

from latency_models.calibration_record import CalibrationRecord, SecondOpinion
from latency_models.extrapolation import Extrapolation
from latency_models.sourced_values import Confidence, check_key, kind_names, text
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Kind

MEASURED: tuple[Confidence, ...] = ("measured", "fitted", "published")
NORMAL_90 = 2.06  # half-width that holds 90 % of normal errors, in mean absolute errors
FARTHEST_PERCENT = 300.0  # the largest half-width: a factor of 4, which says that nothing is known
NOTEWORTHY_PERCENT = 0.5  # by which an interval is wider, to be said
COMPUTED = "computed, lower bound"  # from a data sheet: no kernel runs faster than its peak and its bandwidth allow
NOT_KNOWN = "error not known"
STATED = (
    "mape_percent",
    "interval_90_percent",
    "networks",
    "of",
    "kinds",
    "source",
)  # entries of [error]; two are required


@dataclass(frozen=True)
class StatedError:
    """The error that a target file states without a calibration ([error]): that of a published fit, and its source."""

    mape_percent: float
    source: str
    interval_90_percent: float | None = None  # None: computed from the mean, as for normal errors
    networks: int | None = None  # on which the error was measured
    of: str | None = None  # what networks these are
    kinds: tuple[Kind, ...] | None = None  # of their kernels: of a network with others the error is not known


@dataclass(frozen=True)
class Opinions:
    """What a target says of one network."""

    latency: float
    second_latency: float  # by the second opinion of its calibration
    unmeasured_share: float  # of the latency, in kernels whose shape no measured network has
    distance: float = 0.0  # share of its work that lies in other kernels than that of the nearest measured network


@dataclass(frozen=True)
class LatencyError:
    """The error of the latencies of one target; `percent` is None where no error is known."""

    percent: float | None  # half-width that holds 90 % of unseen networks, in percent of a prediction
    basis: str  # what the number rests on, or why there is none
    mean_percent: float | None = None  # mean absolute error, where it is known
    kinds: tuple[Kind, ...] | None = None  # of the kernels that were measured; None where that is not stated
    second: SecondOpinion | None = None  # what widens the interval of a network unlike those that were measured
    extrapolation: Extrapolation | None = None  # likewise, by the kernels that its work lies in

    @property
    def of_networks(self) -> bool:
        """Whether the error depends on the network."""
        return self.percent is not None and not (self.second is None and self.extrapolation is None)

    @property
    def text(self) -> str:
        """The error as it stands behind a latency: "± 18 %", or the basis in brackets where no number is known."""
        return f"({self.basis})" if self.percent is None else f"± {percent_text(self.percent)} %"

    @property
    def explained(self) -> str:
        """The error as a line of its own: "± 18 %, which holds 90 % of unseen networks: BASIS", or the basis alone."""
        if self.percent is None:
            return self.basis
        return f"{self.text}, which holds 90 % of unseen networks: {self.basis}"

    def of(self, latency: float, unit: str = "ms") -> str:
        """Return a latency with its error as text: "0.686 ms ± 18 %"."""
        return f"{latency:.4g} {unit} {self.text}"

    def range(self, latency: float) -> tuple[float, float] | None:
        """Return the interval around a latency, in its unit, that holds 90 % of such networks; None where unknown."""
        if self.percent is None:
            return None
        return latency * max(0.0, 1 - self.percent / 100), latency * (1 + self.percent / 100)

    def at(self, arch: ArchSpec) -> "LatencyError":
        """Return the error of the prediction for `arch`: not known where no measured network had such kernels."""
        if self.kinds is None or self.percent is None:
            return self
        missing = sorted({kernel.kind for kernel in arch.kernels} - set(self.kinds))
        if not missing:
            return self
        return LatencyError(None, f"{NOT_KNOWN}: no measured network has kernels of kind {', '.join(missing)}")

    def widened(self, opinions: Opinions) -> "LatencyError":
        """Return the error of a network with these opinions of the target on it."""
        if self.percent is None:
            return self
        more = 0.0
        if self.second is not None:
            first, other = opinions.latency, opinions.second_latency
            apart = 100 * abs(other / max(first, other / (1 + FARTHEST_PERCENT / 100)) - 1)
            more = max(0.0, apart - self.second.usual_percent) + self.second.spread_percent * opinions.unmeasured_share
        if self.extrapolation is not None:
            more += self.extrapolation.more_of(opinions.distance)
        basis = f"{self.basis}, wider for a network unlike them" if more >= NOTEWORTHY_PERCENT else self.basis
        return replace(self, percent=min(FARTHEST_PERCENT, self.percent + more), basis=basis)

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain JSON values."""
        return {"percent": self.percent, "mean_percent": self.mean_percent, "basis": self.basis}


UNKNOWN = LatencyError(None, NOT_KNOWN)


class Device(Protocol):
    """What predicts latencies and knows how well: a `Target` or its latency model."""

    @property
    def latency_error(self) -> LatencyError: ...

    def opinions(self, arch: ArchSpec) -> Opinions: ...


def error_of(device: Device, arch: ArchSpec | None = None) -> LatencyError:
    """Return the error of the latencies of a target (or of its model), of `arch` where a network is given.

    That of a network is larger where it is unlike those that were measured (`SecondOpinion`, `Extrapolation`).
    """
    if arch is None:
        return device.latency_error
    known = device.latency_error.at(arch)
    return known.widened(device.opinions(arch)) if known.of_networks else known


def error_known(
    calibration: CalibrationRecord | None,
    stated: StatedError | None,
    confidence: Confidence,
    free: tuple[Kind, ...] = (),
) -> LatencyError:
    """Return the error that a target's file knows: of its calibration, else the stated one, else none.

    `confidence` is that of the peak: one from a data sheet makes the latency a lower bound. Kinds that are `free` need
    no measurement.
    """
    if calibration is not None:
        basis = f"cross-validated on {calibration.networks:,} networks"
        return LatencyError(
            calibration.interval_90_percent,
            basis,
            calibration.mape_percent,
            (*calibration.kinds, *free),
            calibration.second_opinion,
            calibration.extrapolation,
        )
    if stated is not None:
        interval = stated.interval_90_percent
        how = "" if interval is not None else f", {NORMAL_90} x the mean error"
        count = "" if stated.networks is None else f"{stated.networks:,} "
        basis = f"{count}{stated.of or 'networks'}{how}"
        percent = NORMAL_90 * stated.mape_percent if interval is None else interval
        return LatencyError(percent, basis, stated.mape_percent, stated.kinds)
    return UNKNOWN if confidence in MEASURED else LatencyError(None, COMPUTED)


def error_from(data: Any) -> LatencyError:
    """Return the error in its JSON form; `TypeError` or `KeyError` for anything else."""
    numbers = data["percent"], data["mean_percent"]
    if not all(value is None or (type(value) in (int, float) and value >= 0) for value in numbers):
        raise TypeError(f"an error of {numbers!r:.60} percent")
    return LatencyError(numbers[0], str(data["basis"]), numbers[1])


def percent_text(percent: float) -> str:
    """Return a percentage with two digits: 0.53, 7.9, 18, 120."""
    return f"{percent:.2g}" if percent < 99.5 else f"{percent:.0f}"


def parse_stated_error(data: Any, where: str) -> StatedError:
    """Return the error in the TOML table `data`; raises `InvalidInput` with the entry that does not fit."""
    place = f"{where}: error"
    if not isinstance(data, dict):
        raise InvalidInput(f"{place} must be a table, got {data!r:.60}")
    for key in data:
        check_key(key, STATED, "entry of [error]", where)
    if missing := [key for key in ("mape_percent", "source") if key not in data]:
        raise InvalidInput(f"{place} lacks the entry '{missing[0]}'")
    networks = data.get("networks")
    if networks is not None and (type(networks) is not int or networks < 1):
        raise InvalidInput(f"{place}.networks must be a whole number of at least 1, got {networks!r:.60}")
    return StatedError(
        mape_percent=_percent(data["mape_percent"], f"{place}.mape_percent"),
        source=text(data["source"], f"{place}.source"),
        interval_90_percent=_percent(data["interval_90_percent"], f"{place}.interval_90_percent")
        if "interval_90_percent" in data
        else None,
        networks=networks,
        of=text(data["of"], f"{place}.of") if "of" in data else None,
        kinds=kind_names(data["kinds"], f"{place}.kinds") if "kinds" in data else None,
    )


def _percent(value: Any, where: str) -> float:
    """Return a positive finite number; `InvalidInput` for anything else."""
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"{where} must be a positive finite number, got {value!r:.60}")
    return float(value)
