"""`AccuracyModel`: anything that learns accuracies from the features of a few trained networks.

Registered ones (nas/registry.py, ACCURACY_MODELS): `ridge`, the default, and `random`, which predicts nothing and so
makes a search with it random search. Any scikit-learn regressor is one too, named as "package.module:ATTRIBUTE", the
class or an object of it; it is refitted without each network in turn, and never pickled.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.registry import ACCURACY_MODELS, lazy, load
from nas.search.accuracy.ridge import fit_ridge, mean_without

sklearn_base = lazy("sklearn.base")  # imported where a regressor of scikit-learn is named

Floats = NDArray[np.float64]


class Prediction(Protocol):
    """A fitted accuracy model.

    `leave_one_out` [N] predicts each network from the others, `without` [N] is the mean label of the others.
    """

    @property
    def leave_one_out(self) -> Floats: ...
    @property
    def without(self) -> Floats: ...
    @property
    def penalty(self) -> float: ...  # of a ridge; NaN of a model without one, infinite where no feature is used
    @property
    def noise_variance(self) -> float: ...  # of one label around the prediction
    def predict(self, features: Floats) -> tuple[Floats, Floats]: ...  # [M, F] -> mean and standard error [M]


class AccuracyModel(Protocol):
    """A regressor on features. `informed` is False for one that predicts nothing: its search is random search."""

    @property
    def informed(self) -> bool: ...
    def fit(self, features: Floats, labels: Floats, weights: Floats) -> Prediction: ...


@dataclass(frozen=True)
class RidgeModel:
    """Ridge regression with the penalty chosen by leave-one-out (nas/search/accuracy/ridge.py)."""

    informed: bool = True

    def fit(self, features: Floats, labels: Floats, weights: Floats) -> Prediction:
        """Return the fit to features [N, F] and labels [N] with weights [N], inverse variances."""
        return fit_ridge(features, labels, weights)


@dataclass(frozen=True)
class RandomModel:
    """The baseline: no feature is used, every network is predicted the mean."""

    informed: bool = False

    def fit(self, features: Floats, labels: Floats, weights: Floats) -> Prediction:
        """Return the mean of labels [N] as a ridge regression without features."""
        return fit_ridge(np.zeros((len(labels), 0)), labels, weights)


@dataclass(frozen=True)
class FittedRegressor:
    """A fitted scikit-learn regressor, with the predictions of its refits without each network."""

    regressor: Any
    leave_one_out: Floats
    without: Floats
    noise_variance: float
    penalty: float = float("nan")

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the prediction for features [M, F] and the leave-one-out error as its standard error, both [M]."""
        mean = np.asarray(self.regressor.predict(np.nan_to_num(features)), np.float64)
        return mean, np.full(len(mean), np.sqrt(self.noise_variance))


@dataclass(frozen=True)
class RegressorModel:
    """A scikit-learn regressor as an accuracy model; `regressor` is an object with `fit` and `predict`."""

    regressor: Any
    informed: bool = True

    def fit(self, features: Floats, labels: Floats, weights: Floats) -> Prediction:
        """Return the fit to features [N, F] and labels [N]; the weights are not used."""
        x, y = np.nan_to_num(np.asarray(features, np.float64)), np.asarray(labels, np.float64)
        out = y.copy()
        if len(y) > 1:
            for i in range(len(y)):
                kept = np.arange(len(y)) != i
                out[i] = np.asarray(self._fitted(x[kept], y[kept]).predict(x[i : i + 1])).ravel()[0]
        noise = float(np.square(out - y).mean()) if len(y) > 1 else np.inf
        return FittedRegressor(self._fitted(x, y), out, mean_without(y, np.ones(len(y))), noise)

    def _fitted(self, x: Floats, y: Floats) -> Any:
        return sklearn_base.clone(self.regressor).fit(x, y)


RIDGE = RidgeModel()
RANDOM = RandomModel()


def accuracy_model(name: str) -> AccuracyModel:
    """Return the accuracy model of a registered name, or of "module:attribute", a scikit-learn regressor say."""
    return as_accuracy_model(load("accuracy model", ACCURACY_MODELS, name), name)


def as_accuracy_model(found: Any, name: str = "") -> AccuracyModel:
    """Return `found` where it is an accuracy model, else the adapter of a regressor class or object."""
    made = found() if isinstance(found, type) else found
    if hasattr(made, "fit") and hasattr(made, "informed"):
        return made
    if hasattr(made, "fit") and hasattr(made, "predict"):
        return RegressorModel(made)
    raise InvalidInput(
        f"the accuracy model '{name or found}' must be a regressor with fit and predict, got {type(made).__name__}"
    )
