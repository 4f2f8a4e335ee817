"""Fit of energy to few measurements: power x latency + energy per MAC + energy per byte, beside ridge regression."""

import warnings
from dataclasses import dataclass

import numpy as np

from latency_models.calibration.doubts import chance_doubt
from latency_models.calibration.fit import relative_least_squares
from latency_models.calibration.validation import FOLDS, LEAVE_ONE_OUT_BELOW, Scores, distance, quantile, scores
from latency_models.energy import MJ_PER_PJ
from latency_models.workload import Array, Rows, Workload

PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of the ridge regression, chosen by leave-one-out


@dataclass(frozen=True)
class EnergyFit:
    """The three coefficients of the energy model, its cross-validated scores, and those of a ridge regression."""

    networks: int
    power_w: float
    pj_per_mac: float
    pj_per_byte: float
    scores: Scores
    ridge_regression: Scores
    interval_90_percent: float  # half-width, in percent of a prediction, that holds 90 % of networks left out
    doubt: str | None = None  # why the fit is no better than chance; None where it is


def fit_energy(workload: Workload, latency_ms: Array, energy_mj: Array, rows: Rows) -> EnergyFit:
    """Return the energy model fitted to `energy_mj` [N] in `rows` of the workload.

    `latency_ms` [N] are the predictions of the latency model, so that the energy of a new network needs no measured
    latency.
    """
    terms = np.column_stack([latency_ms, workload.work(0.0).sum(1), workload.traffic.sum(1)])[rows]
    features = np.column_stack([workload.work(0.0), workload.traffic, workload.launches, latency_ms])[rows]
    expected = energy_mj[rows]
    # Cross-validation by leave-one-out or in folds; each fold takes every so many-th network in the order of energy.
    count = len(rows)
    groups = count if count < LEAVE_ONE_OUT_BELOW else FOLDS
    order = np.argsort(expected, kind="stable")
    ours, theirs = np.empty(count), np.empty(count)
    for group in range(groups):
        unseen = order[group::groups]
        seen = np.setdiff1d(np.arange(count), unseen)
        ours[unseen] = terms[unseen] @ coefficients(terms[seen], expected[seen])
        theirs[unseen] = ridge_regression(features[seen], expected[seen], features[unseen])
    power_w, mj_per_mac, mj_per_byte = (float(value) for value in coefficients(terms, expected))
    return EnergyFit(
        count,
        power_w,
        mj_per_mac / MJ_PER_PJ,
        mj_per_byte / MJ_PER_PJ,
        scores(ours, expected),
        scores(theirs, expected),
        100 * quantile(distance(ours, expected)),
        chance_doubt(ours, expected, "energy"),
    )


def coefficients(terms: Array, energy_mj: Array) -> Array:
    """Return the non-negative coefficients [P] of terms [N, P] with the smallest squared relative error."""
    columns = terms / energy_mj[:, None]
    size = np.linalg.norm(columns, axis=0)
    return np.asarray(next(relative_least_squares(columns / size))[0] / size)


def ridge_regression(features: Array, energy_mj: Array, unseen: Array) -> Array:
    """Return the energies that a ridge regression on standardised features [N, P] predicts for `unseen` [M, P]."""
    from sklearn import linear_model, pipeline, preprocessing  # slow to import, and few calibrations have energies

    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.RidgeCV(PENALTIES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of badly conditioned features, which a baseline may well have
        return np.asarray(model.fit(features, energy_mj).predict(unseen))
