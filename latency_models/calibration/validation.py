"""How far a calibration can be trusted: cross-validation beside simple baselines, and an interval for predictions.

The interval is conformal (jackknife and CV forms of Barber et al., arXiv 1905.02928): the finite-sample quantile of the
relative errors of networks that a fit has not seen. It covers new networks that are sampled as the measured ones were;
for others a second opinion widens it (`Widening`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
from scipy import stats

from latency_models.calibration.fit import Fit, fit, relative_least_squares
from latency_models.calibration.shape_fit import fit_shapes
from latency_models.workload import Array, Rows, Workload
from nas.ops import KINDS
from nas.progress.stop import raise_if_stopped

LEAVE_ONE_OUT_BELOW = 30  # measurements; from here on, folds
FOLDS, REPEATS = 10, 3
COVERAGE = 0.9
NOTHING = 1e-9  # what counts as no time or no work, relative to the whole
FARTHEST = 3.0  # half-width, error and disagreement relative to a prediction: a factor of 4 says that nothing is known
USUAL = 0.75  # share of measured networks on which a second opinion differs no more than is usual
SETTLED = 3  # terms of a fit that a handful of measurements decides: compute or memory, time per kernel, overhead


class Predictor(Protocol):
    """A fitted latency model."""

    def predict(self, workload: Workload) -> Array:
        """Return the latencies [N] in ms."""


Fitter = Callable[[Workload, Array, Rows], Predictor]  # workload of N networks, latencies [N], the rows to fit on


@dataclass(frozen=True)
class Scores:
    """Agreement of predicted with measured latencies; a correlation is None where one of them does not vary."""

    spearman: float | None
    kendall: float | None
    mape_percent: float
    within_10_percent: float  # share of networks, in percent
    r2: float | None  # share of the variance of the measurements that is explained; None where they do not vary


def scores(predicted: Array, measured: Array) -> Scores:
    """Return the scores of predictions [N] against measurements [N]."""
    error = np.abs(predicted / measured - 1)
    varies = np.ptp(predicted) > 1e-9 * np.abs(predicted).max() and np.ptp(measured) > 0
    rho, tau = (
        float(test(predicted, measured).statistic) if varies else None for test in (stats.spearmanr, stats.kendalltau)
    )
    spread = float(((measured - measured.mean()) ** 2).sum())
    r2 = 1 - float(((predicted - measured) ** 2).sum()) / spread if np.ptp(measured) > 0 else None
    return Scores(rho, tau, 100 * float(error.mean()), 100 * float((error <= 0.1).mean()), r2)


def mean_scores(each: list[Scores]) -> Scores:
    """Return the mean of every score; None where one is missing."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    return Scores(
        mean([score.spearman for score in each]),
        mean([score.kendall for score in each]),
        float(np.mean([score.mape_percent for score in each])),
        float(np.mean([score.within_10_percent for score in each])),
        mean([score.r2 for score in each]),
    )


@dataclass(frozen=True)
class _Form:
    """A linear baseline: the larger of MACs and `ridge` x bytes, or the number of kernels; and a constant or none."""

    ridge: float | None  # MACs per byte; None: kernels are counted
    overhead: bool

    def columns(self, workload: Workload) -> Array:
        """Return the columns [N, 1 or 2] of the fit."""
        work = workload.launches if self.ridge is None else workload.work(self.ridge)
        first = work.sum(1)
        return np.column_stack([first, np.ones(len(first))]) if self.overhead else first[:, None]

    def fitted(self, workload: Workload, rows: Rows, coefficients: Array, left_out: Array) -> Fit:
        """Return the fit with these coefficients, ms per unit of a column; all kinds have the same rate."""
        first, overhead = float(coefficients[0]), float(coefficients[1]) if self.overhead else 0.0
        # What the form does not count takes a share of NOTHING: a roofline needs a rate above 0.
        least = NOTHING * (first if self.ridge is None and first else overhead or 1.0)  # ms
        if self.ridge is None:
            compute = least / max(float(workload.macs.mean()), 1.0)
            memory = least / max(float(workload.bytes.mean()), 1.0)
        else:
            compute = first or least / max(float(workload.macs.sum()), 1.0)
            memory = compute * self.ridge
        ones = np.ones(len(KINDS))
        return Fit(
            overlap=True,
            common=(compute, memory),
            compute=compute * ones,
            memory=memory * ones,
            kernel_ms=first if self.ridge is None else 0.0,
            launch_overhead_ms=overhead,
            strength=0.0,
            left_out_errors=left_out,
            measured=np.asarray(workload.launches[rows].any(0)),
            has_macs=np.asarray(workload.work(0.0)[rows].any(0)),
        )


def _least_error(workload: Workload, latency_ms: Array, rows: Rows, forms: Iterable[_Form]) -> Fit:
    """Return the fit of that of several forms that has the least squared relative error."""
    tried = []
    for form in forms:
        values = form.columns(workload)[rows] / latency_ms[rows][:, None]
        size = np.linalg.norm(values, axis=0)
        scaled, left_out = next(relative_least_squares(values / size))
        coefficients = scaled / size
        tried.append((float(((values @ coefficients - 1) ** 2).sum()), form, coefficients, left_out))
    _, form, coefficients, left_out = min(tried, key=lambda each: each[0])
    return form.fitted(workload, rows, coefficients, left_out)


def plain_roofline(workload: Workload, latency_ms: Array, rows: Rows, *, overhead: bool) -> Fit:
    """Return the fitted roofline of one ridge point and one peak, with a launch overhead or without."""
    return _least_error(workload, latency_ms, rows, (_Form(float(ridge), overhead) for ridge in workload.ridges()))


def macs_only(workload: Workload, latency_ms: Array, rows: Rows) -> Fit:
    """Return the fit of MACs and a launch overhead."""
    return _least_error(workload, latency_ms, rows, [_Form(NOTHING, overhead=True)])


def kernel_count(workload: Workload, latency_ms: Array, rows: Rows) -> Fit:
    """Return the fit of a time per kernel and a launch overhead."""
    return _least_error(workload, latency_ms, rows, [_Form(None, overhead=True)])


SHAPE_AWARE, KIND_AWARE = "shape-aware roofline", "kind-aware roofline"
PLAIN_WITH_OVERHEAD, MACS_ONLY = "plain roofline + floor", "MACs only"  # "floor" is the launch overhead
FITTERS: Mapping[str, Callable[[Workload, Array, Rows], Fit]] = {  # sums over kernels, which a target file can hold
    SHAPE_AWARE: fit_shapes,
    KIND_AWARE: fit,
    PLAIN_WITH_OVERHEAD: partial(plain_roofline, overhead=True),
    "plain roofline": partial(plain_roofline, overhead=False),
    MACS_ONLY: macs_only,
    "kernel count": kernel_count,
}  # by name in reports and in JSON, the richest first


def cross_validated(fitter: Fitter, workload: Workload, latency_ms: Array) -> Array:
    """Return predictions [repeats, N], each by a fit that has not seen the network; the order of rows is irrelevant."""
    count = len(latency_ms)
    everything = np.arange(count)
    # Sorted by latency and size, so that folds do not depend on the order of rows in the file.
    order = np.lexsort((workload.launches.sum(1), workload.work(0.0).sum(1), latency_ms))
    alone = count < LEAVE_ONE_OUT_BELOW
    rng = np.random.default_rng(0)
    predicted = np.empty((1 if alone else REPEATS, count))
    for repeat in predicted:
        folds = np.array_split(everything if alone else rng.permutation(count), count if alone else FOLDS)
        for fold in folds:
            raise_if_stopped()
            unseen = order[fold]
            model = fitter(workload, latency_ms, np.setdiff1d(everything, unseen))
            repeat[unseen] = model.predict(workload)[unseen]
    return predicted


def best_form(validated: Mapping[str, Array], measured: Array) -> str:
    """Return the form of `FITTERS` whose cross-validated predictions [repeats, N] have the smallest mean error."""
    return min(FITTERS, key=lambda form: float(np.abs(validated[form] / measured - 1).mean()))


def half_width(predicted: Array, measured: Array, coverage: float = COVERAGE) -> float:
    """Return the half-width relative to a prediction that holds a share `coverage` of unseen networks.

    `predicted` [repeats, N] are cross-validated.
    """
    return quantile(np.median(distance(predicted, measured), axis=0), coverage)


def half_width_of_best(validated: Mapping[str, Array], measured: Array, coverage: float = COVERAGE) -> float:
    """Return the `half_width` of the best of several forms, from the cross-validated predictions of all of them."""
    return quantile(honest_errors(validated, measured), coverage)


def honest_errors(validated: Mapping[str, Array], measured: Array) -> Array:
    """Return the error [N] of each network under the form that is the best without it.

    The smallest of several mean errors is too small: it was chosen for that. A network has no say in the form by which
    it is judged. Errors are relative to a prediction, the median of the repeats. A fit to a handful of networks may
    predict next to nothing for another one: no error counts as more than `FARTHEST`.
    """
    forms = [form for form in FITTERS if form in validated]
    misses = np.array([np.abs(validated[form] / measured - 1).mean(0) for form in forms])
    errors = np.array([np.median(distance(validated[form], measured), axis=0) for form in forms])
    best = np.argmin(misses.sum(1)[:, None] - misses, axis=0)
    return np.asarray(errors[best, np.arange(len(measured))])


def distance(predicted: Array, other: Array) -> Array:
    """Return |other / predicted - 1|, at most `FARTHEST`."""
    return np.abs(other / np.maximum(predicted, other / (1 + FARTHEST)) - 1)


def quantile(errors: Array, coverage: float = COVERAGE) -> float:
    """Return what a share `coverage` of further errors like these [N] does not exceed, at most `FARTHEST`.

    Below 9 measurements no quantile of them can hold 90 %: there it is Student's t for normal errors, with 3 degrees of
    freedom fewer than measurements for the terms that so few settle. On the measured tables
    (experiments/benchmarks/few_sample_latency.py) one fewer covered 82 % on three of four devices at N = 5 or 6.
    """
    count = len(errors)
    rank = math.ceil((count + 1) * coverage)
    if rank <= count:
        return float(np.sort(errors)[rank - 1])
    spread = float(np.sqrt((errors**2).mean() * (1 + 1 / count)))
    return min(FARTHEST, spread * float(stats.t.ppf((1 + coverage) / 2, max(1, count - SETTLED))))


def second_form(form: str) -> str:
    """Return the form whose fit gives a second opinion on networks that a fit of this form has not seen."""
    return MACS_ONLY if form == PLAIN_WITH_OVERHEAD else PLAIN_WITH_OVERHEAD


@dataclass(frozen=True)
class Widening:
    """What makes the interval of a network wider than that of networks which are sampled as the measured ones were.

    First, a second opinion: a simpler form, fitted to the same networks. A network of another family may lie within all
    measured ranges and still be made of other things; where rates are uncertain, forms that agree on what was measured
    part on it. The half-width grows by |second / first - 1| beyond what is `usual` for measured networks. Second, by
    the share of the time in kernels whose shape was not measured, times the `spread` of the rates of shapes around that
    of their kind. All are relative to the prediction.
    """

    usual: float
    spread: float

    @classmethod
    def of(cls, first: Array, second: Array, fitted: Fit, workload: Workload) -> "Widening":
        """Return it for the cross-validated predictions [repeats, N] of two forms, and the fit of the first."""
        usual = float(np.quantile(np.median(distance(first, second), axis=0), USUAL))
        times, plain = fitted.work_ms(workload), replace(fitted, corrections=()).work_ms(workload)
        known = plain > 0
        apart = np.abs(times[known] / plain[known] - 1)
        order = np.argsort(apart)
        below = np.cumsum(plain[known][order])
        spread = float(apart[order][np.searchsorted(below, COVERAGE * below[-1])]) if known.any() else 0.0
        return cls(usual, spread)

    def of_networks(self, first: Array, second: Array, unmeasured: Array) -> Array:
        """Return by how much half-widths [N] grow, from both predictions and the share of time in unmeasured shapes."""
        return np.maximum(0, distance(first, second) - self.usual) + self.spread * unmeasured
