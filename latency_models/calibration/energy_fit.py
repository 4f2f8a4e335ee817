"""Fit of energy to few measurements: power x latency + energy per MAC + energy per byte, beside a ridge regression."""

import warnings
from dataclasses import dataclass

import numpy as np

from latency_models.calibration.fit import relative_least_squares
from latency_models.calibration.validation import FOLDS, LEAVE_ONE_OUT_BELOW, Scores, scores
from latency_models.energy import MJ_PER_PJ
from latency_models.workload import Array, Rows, Workload

PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of the ridge regression, chosen by leaving one out


@dataclass(frozen=True)
class EnergyFit:
    """The three coefficients, and cross-validated scores beside those of a ridge regression."""

    networks: int
    power_w: float
    pj_per_mac: float
    pj_per_byte: float
    scores: Scores
    ridge_regression: Scores


def fit_energy(workload: Workload, latency_ms: Array, energy_mj: Array, rows: Rows) -> EnergyFit:
    """Return the energy fitted on `rows` of the workload; `latency_ms` [N] are the latency model's own predictions.

    So the energy of a new network needs no measured latency. `energy_mj` [N] counts in `rows` alone.
    """
    terms = np.column_stack([latency_ms, workload.work(0.0).sum(1), workload.traffic.sum(1)])[rows]
    features = np.column_stack([workload.work(0.0), workload.traffic, workload.launches, latency_ms])[rows]
    expected = energy_mj[rows]
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
    )


def coefficients(terms: Array, energy_mj: Array) -> Array:
    """Return the non-negative coefficients [P] of terms [N, P] with the smallest squared relative error."""
    columns = terms / energy_mj[:, None]
    size = np.linalg.norm(columns, axis=0)
    return np.asarray(next(relative_least_squares(columns / size))[0] / size)


def ridge_regression(features: Array, energy_mj: Array, unseen: Array) -> Array:
    """Return the energies that a ridge regression on standardised features [N, P] predicts for `unseen` [M, P]."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # badly conditioned features: what a baseline has to live with
        return np.asarray(model.fit(features, energy_mj).predict(unseen))
