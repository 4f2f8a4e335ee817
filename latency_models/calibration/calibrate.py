"""Calibrate a target from measurements: the fit, its cross-validation beside baselines, and warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency_models.calibration.doubts import chance_doubt, unit_doubt
from latency_models.calibration.energy_fit import EnergyFit, fit_energy
from latency_models.calibration.fit import Fit
from latency_models.calibration.groups_out import extrapolation
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.peers import peers
from latency_models.calibration.validation import (
    FITTERS,
    Scores,
    Widening,
    best_form,
    cross_validated,
    half_width_of_best,
    mean_scores,
    scores,
    second_form,
)
from latency_models.calibration_record import CalibrationRecord, SecondOpinion
from latency_models.roofline import Roofline
from latency_models.sourced_values import Confidence, SourcedValue
from latency_models.target import ENERGY_ERROR, Dtype, Target
from latency_models.workload import Array, Workload
from nas.errors import InvalidInput
from nas.ops import KINDS, Kind

LEAST_NETWORKS = 5
FEW = 10  # networks below which scores and interval say little
MIN_SINGULAR_VALUE = 0.01  # relative, of the normalised terms: below, some of them are collinear
MIN_LOADING = 0.3  # from which a term is one of the collinear ones
COMMON = 0.01  # of the least work of a kind in any network: what exceeds it is more than all have
FEW_WITH_KIND, FEW_SHARE = 5, 0.15  # networks, and share of them, that run more of a kind: below, its rate is rough
OUTLIER = 4.0  # an outlier's error, in median errors
BYTES: Mapping[Dtype, float] = {"int8": 1.0, "fp16": 2.0, "fp32": 4.0}


@dataclass(frozen=True)
class Residual:
    """One measured network: measured and fitted latency, and the error of a fit without it."""

    name: str
    measured_ms: float
    fitted_ms: float
    left_out_percent: float  # (predicted - measured) / measured


@dataclass(frozen=True)
class CalibrationReport:
    """A calibrated target, with scores, residuals and warnings of its fit."""

    target: Target
    model: Roofline
    form: str  # of the model, a name in `validation.FITTERS`: the one with the smallest cross-validated error
    scores: Mapping[str, Scores]  # cross-validated, of the forms that could have been written, then of peers
    residuals: tuple[Residual, ...]  # the worst first
    warnings: tuple[str, ...]
    energy: EnergyFit | None
    doubt: str | None = None  # why the fit, of latency or energy, is no better than chance; None where it is


def plain_template(name: str, dtype: Dtype) -> Roofline:
    """Return a model with the byte widths of `dtype` for a device of which nothing else is known."""
    width = BYTES[dtype]
    return Roofline(name, 1.0, 1.0, bytes_per_weight=width, bytes_per_activation=width)


def calibrate(
    measured: Measurements, name: str, *, like: Target | None = None, dtype: Dtype = "fp32", with_peers: bool = False
) -> CalibrationReport:
    """Return the target `name` fitted to `measured`, in the form that predicts networks left out best.

    `with_peers` scores ridge regression and boosted trees as well, which no target file can hold (`peers`).
    `like` gives byte widths, shares on chip, free kinds, and the efficiencies of kinds that the fit is shrunk towards.
    Raises `InvalidInput` for fewer than 5 networks or latencies that are all equal.
    """
    networks = measured.networks
    latency_ms = np.array([item.latency_ms for item in networks])
    _check(latency_ms)
    template = (
        replace(like.model(), name=name, calibrated=None, unsupported=()) if like else plain_template(name, dtype)
    )
    batches = [item.batch for item in networks]
    archs = [item.arch for item in networks]
    workload = Workload.of(archs, batches, template)
    every = {**FITTERS, **(peers(archs, batches) if with_peers else {})}
    validated = {form: cross_validated(fitter, workload, latency_ms) for form, fitter in every.items()}
    each = {form: mean_scores([scores(row, latency_ms) for row in rows]) for form, rows in validated.items()}
    form = best_form(validated, latency_ms)
    fitted = FITTERS[form](workload, latency_ms, np.arange(len(networks)))
    errors = np.median(validated[form], axis=0) / latency_ms - 1
    half_width = half_width_of_best(validated, latency_ms)
    calibration = CalibrationRecord(
        networks=len(networks),
        mape_percent=_rounded(each[form].mape_percent),
        spearman=_rounded(each[form].spearman),
        kendall=_rounded(each[form].kendall),
        interval_90_percent=_rounded(100 * half_width),
        latency_ms=(float(latency_ms.min()), float(latency_ms.max())),
        macs=(min(item.arch.macs for item in networks), max(item.arch.macs for item in networks)),
        kinds=tuple(kind for kind, known in zip(KINDS, fitted.measured, strict=True) if known),
        second_opinion=_second_opinion(form, fitted, validated, workload, latency_ms, template),
        extrapolation=extrapolation(FITTERS, workload, latency_ms, half_width),
        **measured.provenance,
    )
    batch = max(sorted(set(batches)), key=batches.count)
    target = _target(name, fitted, calibration, replace(template, batch=batch), like=like, dtype=dtype)
    model = target.model()
    energy = _energy(networks, workload, fitted, model)
    if energy:
        target = replace(target, energy=_energy_rows(energy))
    doubt = chance_doubt(np.median(validated[form], axis=0), latency_ms) or (energy.doubt if energy else None)
    found = [
        *(line for line in (doubt, unit_doubt(networks, like, dtype)) if line),
        *_warnings(fitted, workload, latency_ms),
        *_rare_kinds(workload),
        *_better_peer(form, each),
        *_outliers(networks, errors),
        *_mixed(measured),
    ]
    residuals = _residuals(networks, fitted.predict(workload), errors)
    return CalibrationReport(target, model, form, each, residuals, tuple(found), energy, doubt)


def _second_opinion(
    form: str, fitted: Fit, validated: Mapping[str, Array], workload: Workload, latency_ms: Array, template: Roofline
) -> SecondOpinion:
    """Return the second opinion on a fit of this form, from the cross-validated predictions of both."""
    second = second_form(form)
    widening = Widening.of(validated[form], validated[second], fitted, workload)
    model = FITTERS[second](workload, latency_ms, np.arange(workload.size)).roofline(template)
    values = (model.peak_gmacs_per_s, model.bandwidth_gb_per_s, model.launch_overhead_ms)
    return SecondOpinion(*(float(f"{v:.6g}") for v in (*values, 100 * widening.usual, 100 * widening.spread)))


def _check(latency_ms: Array) -> None:
    """Raise `InvalidInput` where there are too few latencies, or all are equal."""
    if len(latency_ms) < LEAST_NETWORKS:
        raise InvalidInput(
            f"a calibration needs at least {LEAST_NETWORKS} different networks, got {len(latency_ms)}; "
            "nas calibrate --propose 20 --space uib says which to measure"
        )
    if np.ptp(latency_ms) == 0:
        raise InvalidInput(
            f"all {len(latency_ms)} latencies are {latency_ms[0]:g} ms, so nothing can be fitted; "
            "measure networks of different sizes"
        )


def _target(
    name: str, fitted: Fit, calibration: CalibrationRecord, template: Roofline, *, like: Target | None, dtype: Dtype
) -> Target:
    """Return the target of a fit, every value with its source."""
    model = fitted.roofline(template)
    source = f"fit on {calibration.networks} measured networks, cross-validated MAPE {calibration.mape_percent:.1f} %"
    width = f"that of {like.name}" if like else f"width of {dtype}"

    def fitted_value(value: float) -> SourcedValue[float]:
        return SourcedValue(float(f"{value:.6g}"), source, "fitted")

    def rows(values: tuple[tuple[Kind, float], ...]) -> tuple[tuple[Kind, SourcedValue[float]], ...]:
        return tuple((kind, _of_kind(kind, value, calibration, source)) for kind, value in values)

    stated: dict[str, Any] = {}
    if like:
        names = ("on_chip_share", "weight_on_chip_share", "free_kinds", "onchip_kb")
        stated = {key: getattr(like, key) for key in names}
    return Target(
        name=name,
        unit=calibration.machine or "a device known by its measurements alone",
        dtype=like.dtype if like else dtype,
        peak_gmacs_per_s=fitted_value(model.peak_gmacs_per_s),
        bandwidth_gb_per_s=fitted_value(model.bandwidth_gb_per_s),
        bytes_per_weight=SourcedValue(template.bytes_per_weight, width, "estimated"),
        bytes_per_activation=SourcedValue(template.bytes_per_activation, width, "estimated"),
        launch_overhead_ms=fitted_value(model.launch_overhead_ms),
        time_per_kernel_us=fitted_value(model.time_per_kernel_us),
        batch=template.batch,
        overlap=model.overlap,
        kind_efficiency=rows(model.kind_efficiency),
        kind_memory_efficiency=rows(model.kind_memory_efficiency),
        corrections=SourcedValue(model.corrections, source, "fitted") if model.corrections else None,
        calibration=calibration,
        **stated,
    )


def _of_kind(kind: Kind, value: float, calibration: CalibrationRecord, source: str) -> SourcedValue[float]:
    """Return the efficiency of a kind: fitted where it was measured, else estimated as that of the other kinds."""
    known = kind in calibration.kinds
    confidence: Confidence = "fitted" if known else "estimated"
    origin = source if known else "no measured network has such kernels: as the other kinds"
    return SourcedValue(float(f"{value:.6g}"), origin, confidence)


def _residuals(networks: Sequence[Measurement], fitted_ms: Array, errors: Array) -> tuple[Residual, ...]:
    """Return one row per network, the largest cross-validated error first."""
    order = np.argsort(-np.abs(errors), kind="stable")
    rows = [(networks[i], float(fitted_ms[i]), float(100 * errors[i])) for i in order]
    return tuple(Residual(item.name, item.latency_ms, predicted, error) for item, predicted, error in rows)


def _warnings(fitted: Fit, workload: Workload, latency_ms: Array) -> list[str]:
    """Return one line for each thing that the measurements cannot determine."""
    found = []
    if len(latency_ms) < FEW:
        found.append(f"{len(latency_ms)} networks are few: scores and interval are rough; 20 to 50 are better")
    terms = {
        "compute": workload.work(0.0) @ fitted.compute,
        "memory": workload.traffic @ fitted.memory,
        "time per kernel": workload.launches.sum(1),
        "launch overhead": np.ones(len(latency_ms)),
    }
    # Are the four terms collinear over these networks? The right singular vector of a vanishing singular value says
    # which combination of them the measurements leave undetermined.
    relative = np.column_stack([values / latency_ms for values in terms.values()])
    _, sizes, loadings = np.linalg.svd(relative / np.linalg.norm(relative, axis=0))
    if sizes[-1] < MIN_SINGULAR_VALUE * sizes[0]:
        names = [name for name, loading in zip(terms, loadings[-1], strict=True) if abs(loading) > MIN_LOADING]
        found.append(
            f"the networks are too alike to tell {' and '.join(names)} apart: their sum is known better than each; "
            "nas calibrate --propose names networks that differ"
        )
    least = [kind for kind, bound in zip(KINDS, fitted.at_bound, strict=True) if bound]
    if least:
        found.append(f"no time can be attributed to kernels of kind {', '.join(least)}: their efficiency is a bound")
    return found


def _rare_kinds(workload: Workload) -> list[str]:
    """Return a line where only few networks run more of a kind of kernel than what all of them have in common."""
    work = workload.work(0.0) + workload.traffic
    beyond = (work > (1 + COMMON) * work.min(0)).sum(0)
    limit = max(FEW_WITH_KIND, FEW_SHARE * workload.size)
    rare = [f"{kind} ({count})" for kind, count in zip(KINDS, beyond.tolist(), strict=True) if 0 < count < limit]
    if not rare:
        return []
    return [
        f"few of the {workload.size} networks tell what kernels of a kind take, counting those that run more of it "
        f"than all others: {', '.join(rare)}; measure more networks with them"
    ]


def _better_peer(form: str, each: Mapping[str, Scores]) -> list[str]:
    """Return a line where a regression that no target file can hold predicts better than the written form."""
    best = min(each, key=lambda name: each[name].mape_percent)
    if best in FITTERS:
        return []
    return [
        f"'{best}' has the smaller cross-validated error ({each[best].mape_percent:.1f} % against "
        f"{each[form].mape_percent:.1f} %), but is no sum over kernels: measure more networks, or more varied ones"
    ]


def _outliers(networks: Sequence[Measurement], errors: Array) -> list[str]:
    """Return a line that names networks whose error is far larger than those of the others, if there are any."""
    limit = OUTLIER * float(np.median(np.abs(errors)))
    far = [item.name for item, error in zip(networks, errors, strict=True) if abs(error) > max(limit, 0.1)]
    more = f" and {len(far) - 3} more" if len(far) > 3 else ""
    return (
        [f"far from what the others say: {', '.join(far[:3])}{more}; measure again, and more networks like these"]
        if far
        else []
    )


def _mixed(measured: Measurements) -> list[str]:
    """Return a line for each setting that is not the same in all measurements: provenance and batch size."""
    found = [f"column {name} varies: a target is one setting, so it is left out" for name in measured.varying]
    batches = sorted({item.batch for item in measured.networks})
    if len(batches) > 1:
        found.append(
            f"batches of {', '.join(map(str, batches))} images: fitted together, the target has the most frequent"
        )
    return found


def _energy(networks: Sequence[Measurement], workload: Workload, fitted: Fit, model: Roofline) -> EnergyFit | None:
    """Return the fit of energy, None where no energy was measured; `InvalidInput` where there are too few."""
    known = np.array([item.energy_mj is not None for item in networks])
    if not known.any():
        return None
    if known.sum() < LEAST_NETWORKS:
        raise InvalidInput(f"energy_mj needs at least {LEAST_NETWORKS} networks with a value, got {known.sum()}")
    energy_mj = np.array([item.energy_mj or np.nan for item in networks])
    return fit_energy(workload, fitted.predict(workload), energy_mj, np.flatnonzero(known))


def _energy_rows(energy: EnergyFit) -> tuple[tuple[str, SourcedValue[float]], ...]:
    """Return the coefficients of the energy model as the sourced values of a target."""
    source = f"fit on {energy.networks} measured energies, cross-validated MAPE {energy.scores.mape_percent:.1f} %"
    values = {"power_w": energy.power_w, "pj_per_mac": energy.pj_per_mac, "pj_per_byte": energy.pj_per_byte}
    rows = [(name, SourcedValue(float(f"{value:.6g}"), source, "fitted")) for name, value in values.items()]
    basis = f"cross-validated on {energy.networks} networks"
    return (*rows, (ENERGY_ERROR, SourcedValue(_rounded(energy.interval_90_percent), basis, "fitted")))


def _rounded(value: Any) -> Any:
    return None if value is None else round(value, 4)
