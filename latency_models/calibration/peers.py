"""Regressions on counts of kernels, beside which a calibration is printed: ridge and gradient-boosted trees.

They see the features of `latency_models.forest` (per kind of kernel the number, MACs, weights, elements read and
written, largest map), but are no sums over kernels: no target file holds them, and no search bounds them exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latency_models.calibration.energy_fit import ridge_regression
from latency_models.calibration.validation import Fitter
from latency_models.forest import SEED, features_of
from latency_models.workload import Array, Rows, Workload
from nas.arch import ArchSpec

RIDGE_REGRESSION, BOOSTED_TREES = "ridge regression", "boosted trees"
TREES, DEPTH, RATE, SUBSAMPLE = 100, 3, 0.1, 0.8
MANY = 300  # measurements from where trees split at histograms: as exact, and 20 times as fast


@dataclass(frozen=True)
class Predictions:
    """Predictions for the N networks of one workload, in the form that the cross-validation takes (`Predictor`)."""

    values: Array

    def predict(self, workload: Workload) -> Array:
        """Return the predictions [N]."""
        return self.values


def ridge_fitter(features: Array) -> Fitter:
    """Return the fit of a linear ridge regression on `features` [N, P] of a workload's networks."""

    def fitted(workload: Workload, measured: Array, rows: Rows) -> Predictions:
        return Predictions(ridge_regression(features[rows], measured[rows], features))

    return fitted


def boosted_fitter(features: Array) -> Fitter:
    """Return the fit of boosted trees to the logarithm of what was measured, on `features` [N, P]."""

    def fitted(workload: Workload, measured: Array, rows: Rows) -> Predictions:
        grown = _trees(len(rows)).fit(features[rows], np.log(measured[rows]))
        return Predictions(np.exp(grown.predict(features)))

    return fitted


def _trees(count: int) -> Any:
    """Return scikit-learn's boosted trees for so many measurements, before they are fitted."""
    from sklearn import ensemble  # slow to import

    if count >= MANY:
        return ensemble.HistGradientBoostingRegressor(
            max_iter=4 * TREES, learning_rate=RATE, max_leaf_nodes=2 ** (DEPTH + 1), early_stopping=False,
            random_state=SEED,
        )  # fmt: skip
    return ensemble.GradientBoostingRegressor(
        n_estimators=TREES, learning_rate=RATE, max_depth=DEPTH, subsample=SUBSAMPLE, random_state=SEED
    )


def peers(archs: Sequence[ArchSpec], batches: Sequence[int]) -> Mapping[str, Fitter]:
    """Return the fits by name, for networks at their batch sizes in the order of a workload."""
    features = features_of(archs, batches)
    return {RIDGE_REGRESSION: ridge_fitter(features), BOOSTED_TREES: boosted_fitter(features)}
