"""`CalibrationRecord`: what a target file says of its calibration, that is of its measurements and its error."""

import math
from dataclasses import dataclass, fields
from typing import Any

from latency_models.extrapolation import Extrapolation, parse_extrapolation
from latency_models.sourced_values import check_key, kind_names, text
from nas.errors import InvalidInput
from nas.ops import Kind

PROVENANCE = ("runtime", "threads", "machine")
KEPT = ("measurements", "measurements_sha256")  # where the measurements are kept: `latency_models.calibration.kept`


@dataclass(frozen=True)
class SecondOpinion:
    """What makes the error of a network larger that is unlike those that were measured (`calibration.validation`).

    A plain roofline with a launch overhead, fitted to the same networks: where it disagrees with the target's own model
    by more than is usual, the half-width grows by as much. It also grows by `spread_percent` times the share of the
    time in kernels whose shape has no correction, where the target has any.
    """

    peak_gmacs_per_s: float
    bandwidth_gb_per_s: float
    floor_ms: float
    usual_percent: float  # disagreement that widens nothing
    spread_percent: float = 0.0


@dataclass(frozen=True)
class CalibrationRecord:
    """The measurements behind a target, and how well its model predicts networks that a fit has not seen.

    Scores are cross-validated; a correlation is None where predictions or latencies do not vary.
    """

    networks: int
    mape_percent: float
    spearman: float | None
    kendall: float | None
    interval_90_percent: float  # half-width, in percent of a prediction, that holds 90 % of unseen networks
    latency_ms: tuple[float, float]  # smallest and largest measured
    macs: tuple[int, int]  # of one image, smallest and largest network
    kinds: tuple[Kind, ...]  # of kernels that were measured
    runtime: str | None = None
    threads: str | None = None
    machine: str | None = None
    measurements: str | None = None  # the file beside the target's that keeps what was measured
    measurements_sha256: str | None = None  # of that file
    second_opinion: SecondOpinion | None = None  # None in files of earlier releases, as the next
    extrapolation: Extrapolation | None = None


def parse_calibration(data: Any, where: str) -> CalibrationRecord:
    """Return the record in the TOML table `data`; raises `InvalidInput` with the entry that does not fit."""
    place = f"{where}: calibration"
    if not isinstance(data, dict):
        raise InvalidInput(f"{place} must be a table, got {data!r:.60}")
    known = ("networks", "mape_percent", "spearman", "kendall", "interval_90_percent", "latency_ms", "macs", "kinds")
    for key in data:
        check_key(key, (*known, *PROVENANCE, *KEPT, "second_opinion", "extrapolation"), "entry of [calibration]", where)
    if missing := [key for key in known if key not in data and key not in ("spearman", "kendall")]:
        raise InvalidInput(f"{place} lacks the entry '{missing[0]}'")
    low, high = _range(data["macs"], f"{place}.macs")
    return CalibrationRecord(
        networks=int(_real(data["networks"], f"{place}.networks", least=1)),
        mape_percent=_real(data["mape_percent"], f"{place}.mape_percent"),
        spearman=_correlation(data.get("spearman"), f"{place}.spearman"),
        kendall=_correlation(data.get("kendall"), f"{place}.kendall"),
        interval_90_percent=_real(data["interval_90_percent"], f"{place}.interval_90_percent"),
        latency_ms=_range(data["latency_ms"], f"{place}.latency_ms"),
        macs=(int(low), int(high)),
        kinds=kind_names(data["kinds"], f"{place}.kinds"),
        **{key: text(data[key], f"{place}.{key}") for key in (*PROVENANCE, *KEPT) if key in data},
        second_opinion=_second_opinion(data["second_opinion"], place) if "second_opinion" in data else None,
        extrapolation=parse_extrapolation(data["extrapolation"], place) if "extrapolation" in data else None,
    )


def _second_opinion(data: Any, place: str) -> SecondOpinion:
    """Return the second opinion in a TOML table; `InvalidInput` names the entry that does not fit."""
    where = f"{place}.second_opinion"
    keys = tuple(field.name for field in fields(SecondOpinion))
    required = keys[:-1]
    if not isinstance(data, dict):
        raise InvalidInput(f"{where} must be a table, got {data!r:.60}")
    for key in data:
        check_key(key, keys, "entry of second_opinion", place.partition(":")[0])
    if missing := [key for key in required if key not in data]:
        raise InvalidInput(f"{where} lacks the entry '{missing[0]}'")
    values = {key: _real(data[key], f"{where}.{key}") for key in keys if key in data}
    for key in keys[:2]:
        if values[key] == 0:
            raise InvalidInput(f"{where}.{key} must be positive, got 0")
    return SecondOpinion(**values)


def _real(value: Any, where: str, least: float = 0.0, most: float = math.inf) -> float:
    """Return a finite number from `least` to `most`; `InvalidInput` for anything else."""
    if type(value) not in (int, float) or not (math.isfinite(value) and least <= value <= most):
        bounds = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of at least {least:g}"
        raise InvalidInput(f"{where} must be a finite number {bounds}, got {value!r:.60}")
    return float(value)


def _correlation(value: Any, where: str) -> float | None:
    return None if value is None else _real(value, where, -1.0, 1.0)


def _range(value: Any, where: str) -> tuple[float, float]:
    """Return the numbers in a list of the smallest and the largest; `InvalidInput` for anything else."""
    if not (isinstance(value, list) and len(value) == 2):
        raise InvalidInput(f"{where} must be a list of the smallest and the largest, got {value!r:.60}")
    low, high = (_real(item, where) for item in value)
    if low > high:
        raise InvalidInput(f"{where} must rise, got {value!r:.60}")
    return low, high
