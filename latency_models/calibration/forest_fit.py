"""Grow a random forest on measurements, and cross-validate it beside simpler models of latency or energy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency_models.calibration.calibrate import plain_template
from latency_models.calibration.doubts import chance_doubt, unit_doubt
from latency_models.calibration.energy_fit import coefficients
from latency_models.calibration.fit import fit
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.peers import RIDGE_REGRESSION, Predictions, ridge_fitter
from latency_models.calibration.validation import (
    FITTERS,
    KIND_AWARE,
    MACS_ONLY,
    Fitter,
    Scores,
    cross_validated,
    mean_scores,
    scores,
)
from latency_models.forest import COLUMNS, SEED, TREES, Forest, Quantity, Tree, feature_names, features_of
from latency_models.workload import Array, Rows, Workload
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import KINDS

FOREST, POWER = "random forest", "power, MACs, bytes"
LEAST_NETWORKS = 20


@dataclass(frozen=True)
class ForestReport:
    """A forest, and the cross-validated scores of every model that was compared, the forest first."""

    forest: Forest
    range: tuple[float, float]  # smallest and largest measured value
    scores: Mapping[str, Scores]
    warnings: tuple[str, ...] = ()
    doubt: str | None = None  # why the forest is no better than chance; None where it is


def power_fitter(latency_ms: Array) -> Fitter:
    """Return the fit of energy as power x latency + MACs + bytes; the latency is that of a roofline fitted along."""

    def fitted(workload: Workload, energy_mj: Array, rows: Rows) -> Predictions:
        latency = fit(workload, latency_ms, rows).predict(workload)
        terms = np.column_stack([latency, workload.work(0.0).sum(1), workload.traffic.sum(1)])
        return Predictions(terms @ coefficients(terms[rows], energy_mj[rows]))

    return fitted


def fitters(features: Array, of: Quantity, latency_ms: Array) -> dict[str, Fitter]:
    """Return the models that are compared by name, the forest first."""
    physical = {POWER: power_fitter(latency_ms)} if of == "energy" else {KIND_AWARE: fit}
    learnt = {FOREST: forest_fitter(features), RIDGE_REGRESSION: ridge_fitter(features)}
    return learnt | physical | {MACS_ONLY: FITTERS[MACS_ONLY]}


def forest_of(measured: Measurements, of: Quantity = "latency") -> ForestReport:
    """Return the forest grown on `measured`, with the scores of all models in the same cross-validation.

    Raises `InvalidInput` for fewer than 20 networks with a value, or values that are all equal.
    """
    networks = [item for item in measured.networks if _value(item, of) is not None]
    values = np.array([_value(item, of) for item in networks], np.float64)
    column = {"latency": "latency_ms", "energy": "energy_mj"}[of]
    if len(networks) < LEAST_NETWORKS:
        raise InvalidInput(
            f"a forest needs at least {LEAST_NETWORKS} different networks with {column}, got {len(networks)}; "
            "measure more, or leave --model forest away"
        )
    if np.ptp(values) == 0:
        raise InvalidInput(f"all {len(values)} values of {column} are {values[0]:g}, so there is nothing to learn")
    archs, batches = [item.arch for item in networks], [item.batch for item in networks]
    workload = Workload.of(archs, batches, plain_template("device", "fp32"))
    latency_ms = np.array([item.latency_ms for item in networks])
    forms = fitters(features_of(archs, batches), of, latency_ms)
    validated = {form: cross_validated(fitter, workload, values) for form, fitter in forms.items()}
    each = {form: mean_scores([scores(row, values) for row in rows]) for form, rows in validated.items()}
    forest = replace(
        fit_forest(archs, batches, values, of=of), cross_validated_mape_percent=round(each[FOREST].mape_percent, 4)
    )
    doubt = chance_doubt(np.median(validated[FOREST], axis=0), values, of)
    found = tuple(filter(None, (doubt, unit_doubt(networks, None) if of == "latency" else None)))
    return ForestReport(forest, (float(values.min()), float(values.max())), each, found, doubt)


def _value(item: Measurement, of: Quantity) -> float | None:
    """Return the measured latency or energy."""
    return item.energy_mj if of == "energy" else item.latency_ms


def grow(features: Array, logarithms: Array, *, trees: int = TREES) -> tuple[Tree, ...]:
    """Return the trees that scikit-learn grows on features [N, P] and logarithms [N], always the same."""
    return trees_of(regressor(trees).fit(features, logarithms))


def regressor(trees: int = TREES) -> Any:
    """Return scikit-learn's forest before it is fitted."""
    from sklearn import ensemble  # slow to import, and few calibrations grow a forest

    return ensemble.RandomForestRegressor(trees, random_state=SEED)


def trees_of(fitted: Any) -> tuple[Tree, ...]:
    """Return the trees of a fitted forest of scikit-learn."""

    def tree(grown: Any) -> Tree:
        left, right, feature = (np.asarray(getattr(grown, name), np.intp) for name in COLUMNS[:3])
        return Tree(left, right, feature, np.asarray(grown.threshold), np.asarray(grown.value[:, 0, 0]))

    return tuple(tree(estimator.tree_) for estimator in fitted.estimators_)


def fit_forest(
    archs: Sequence[ArchSpec], batches: Sequence[int], measured: Array, *, of: Quantity = "latency"
) -> Forest:
    """Return the forest grown on measured values [N] of networks; it predicts for the most frequent batch size."""
    batch = max(sorted(set(batches)), key=list(batches).count)
    trees = grow(features_of(archs, batches), np.log(measured))
    used = {kernel.kind for arch in archs for kernel in arch.kernels}
    kinds = tuple(kind for kind in KINDS if kind in used)
    return Forest(of, batch, len(archs), feature_names(), trees, kinds=kinds)


def forest_fitter(features: Array) -> Any:
    """Return the fit of a forest on `features` [N, P] of a workload's networks, a `validation.Fitter`."""

    def fitted(workload: Workload, measured: Array, rows: Rows) -> Predictions:
        grown = regressor().fit(features[rows], np.log(measured[rows]))
        return Predictions(np.exp(grown.predict(features)))

    return fitted
