"""How far a calibration can be trusted: cross-validation beside simple baselines, and an interval for predictions.

The interval is conformal (jackknife and CV forms of Barber et al., arXiv 1905.02928): the finite-sample quantile of the
relative errors of networks that a fit has not seen. It covers new networks that are sampled as the measured ones were.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import stats

from latency_models.calibration.fit import fit, relative_least_squares
from latency_models.workload import Array, Rows, Workload
from nas.progress.stop import raise_if_stopped

LEAVE_ONE_OUT_BELOW = 30  # measurements; from here on, folds
FOLDS, REPEATS = 10, 3
COVERAGE = 0.9
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
class LinearBaseline:
    """A linear baseline: coefficients of a few columns that are computed from a workload."""

    columns: Callable[[Workload], Array]
    coefficients: Array

    def predict(self, workload: Workload) -> Array:
        """Return the latencies [N] in ms."""
        return np.asarray(self.columns(workload) @ self.coefficients)


def linear_baseline(*forms: Callable[[Workload], Array]) -> Fitter:
    """Return a fitter of linear baselines: of several `forms` of columns [N, P], that of the least squared error."""

    def fitted(workload: Workload, latency_ms: Array, rows: Rows) -> Predictor:
        tried = []
        for columns in forms:
            values = columns(workload)[rows] / latency_ms[rows][:, None]
            size = np.linalg.norm(values, axis=0)
            coefficients = next(relative_least_squares(values / size))[0] / size
            tried.append((float(((values @ coefficients - 1) ** 2).sum()), LinearBaseline(columns, coefficients)))
        return min(tried, key=lambda pair: pair[0])[1]

    return fitted


def with_constant(columns: Array) -> Array:
    """Return a column [N] beside one of ones: [N, 2]."""
    return np.column_stack([columns, np.ones(len(columns))])


def plain_roofline(workload: Workload, latency_ms: Array, rows: Rows, *, overhead: bool) -> Predictor:
    """Return the fitted roofline of one ridge point and one peak, with a launch overhead or without."""

    def form(ridge: float) -> Callable[[Workload], Array]:
        return lambda w: with_constant(w.work(ridge).sum(1)) if overhead else w.work(ridge).sum(1)[:, None]

    return linear_baseline(*(form(float(ridge)) for ridge in workload.ridges()))(workload, latency_ms, rows)


KIND_AWARE = "kind-aware roofline"
FITTERS: Mapping[str, Fitter] = {  # by name in reports and in JSON; "floor" there is the launch overhead
    KIND_AWARE: fit,
    "plain roofline + floor": lambda *data: plain_roofline(*data, overhead=True),
    "plain roofline": lambda *data: plain_roofline(*data, overhead=False),
    "MACs only": linear_baseline(lambda workload: with_constant(workload.work(0.0).sum(1))),
    "kernel count": linear_baseline(lambda workload: with_constant(workload.launches.sum(1))),
}


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


def half_width(predicted: Array, measured: Array, coverage: float = COVERAGE) -> float:
    """Return the half-width relative to a prediction that holds a share `coverage` of unseen networks.

    `predicted` [repeats, N] are cross-validated. Below 9 measurements no quantile of them can hold 90 %: there it is
    Student's t for normal errors, with 3 degrees of freedom fewer than measurements for the terms that so few settle.
    On the measured tables (experiments/benchmarks/few_sample_latency.py) one fewer covered 82 % on three of four
    devices at N = 5 or 6.
    """
    errors = np.median(np.abs(measured / np.maximum(predicted, 1e-12 * measured) - 1), axis=0)
    count = len(errors)
    rank = math.ceil((count + 1) * coverage)
    if rank <= count:
        return float(np.sort(errors)[rank - 1])
    spread = float(np.sqrt((errors**2).mean() * (1 + 1 / count)))
    return spread * float(stats.t.ppf((1 + coverage) / 2, max(1, count - SETTLED)))
