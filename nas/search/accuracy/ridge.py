"""Ridge regression with the penalty chosen by exact leave-one-out error (PRESS), and predictions with standard errors.

Features are standardised, the intercept is not penalised. All penalties are tried by one singular value decomposition;
leaving a row out needs no refit (Allen 1974): its residual is that of the whole fit over 1 less its leverage. Rows may
have weights, the number of seeds that a label is the mean of, say.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.errors import InvalidInput

PENALTIES = np.geomspace(0.1, 1e4, 26)  # relative to features of variance 1
CONSTANT = 1e-9  # a feature varies where its deviation exceeds this share of its largest absolute value

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standardiser:
    """The centre and scale of features [F]; a column that does not vary, or is mostly missing, has scale infinity."""

    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, features: Floats, weights: Floats) -> "Standardiser":
        """Return the weighted means and deviations of the columns of features [N, F], over the rows that have a value.

        A column that fewer than half of the rows have counts nothing.
        """
        known = np.isfinite(features)
        values, shares = np.where(known, features, 0.0), known * weights[:, None]
        total = np.maximum(shares.sum(0), 1e-300)
        centre = (shares * values).sum(0) / total
        deviation = np.sqrt((shares * np.square(values - centre)).sum(0) / total)
        varies = (2 * known.sum(0) >= len(features)) & (deviation > CONSTANT * np.abs(values).max(0, initial=0))
        return cls(centre, np.where(varies, deviation, np.inf))

    def __call__(self, features: Floats) -> Floats:
        """Return features [M, F] standardised; a value that is missing counts as the mean."""
        known = np.isfinite(features) & np.isfinite(self.scale)
        return np.where(known, (np.where(known, features, 0.0) - self.centre) / self.scale, 0.0)


@dataclass(frozen=True)
class RidgeFit:
    """A fitted ridge regression of labels on features.

    `coefficients` [F] are those of the standardised features. `leave_one_out` [N] has for every row the prediction of
    the fit without it, and `without` [N] the mean label without it, what the row would be given without any feature.
    `noise_variance` is that of a label of weight 1 around the prediction: training noise, and what the features miss.
    """

    standardiser: Standardiser
    coefficients: Floats
    intercept: float
    penalty: float  # infinite: the features are not used
    noise_variance: float  # infinite below 2 labels
    parameter_factor: Floats  # [F, F]: covariance of the coefficients is this times its transpose times the noise
    total_weight: float
    leave_one_out: Floats
    without: Floats

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the predicted label of features [M, F] and its standard error, both [M].

        The standard error is that of one new label of weight 1: of intercept and coefficients, of the training noise,
        and of what the features miss.
        """
        rows = self.standardiser(np.asarray(features, np.float64))
        spread = np.square(rows @ self.parameter_factor).sum(1) + 1 / self.total_weight
        return self.intercept + rows @ self.coefficients, np.sqrt(self.noise_variance * (1 + spread))


def fit_ridge(
    features: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, penalties: Floats = PENALTIES
) -> RidgeFit:
    """Return the ridge regression of labels [N] on features [N, F] with the penalty of the least leave-one-out error.

    `weights` [N] are inverse variances of the labels, relative to one another. No use of the features, an infinite
    penalty, is among the choices. Raises `InvalidInput` where a label is not finite or there is none.
    """
    y = np.asarray(labels, np.float64)
    x = np.asarray(features, np.float64).reshape(len(y), -1)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    if not len(y) or not np.isfinite(y).all() or not (np.isfinite(w) & (w > 0)).all():
        raise InvalidInput(f"a ridge regression needs finite labels, at least one, got {y.tolist()[:5]}")
    standardiser = Standardiser.of(x, w)
    root, mean = np.sqrt(w), float(w @ y / w.sum())
    left, singular, right = np.linalg.svd(root[:, None] * standardiser(x), full_matrices=False)
    rotated = left.T @ (root * (y - mean))
    # Per penalty (rows) the share kept of every singular direction, then leverages and errors of all rows at once.
    kept = np.square(singular) / (np.square(singular) + penalties[:, None])
    kept = np.concatenate([kept, np.zeros((1, len(singular)))])  # the last: no use of the features
    fitted = mean + (kept * rotated) @ left.T / root
    leverage = w / w.sum() + kept @ np.square(left).T
    out = y + (fitted - y) / np.maximum(1 - leverage, 1e-9)
    errors = (w * np.square(out - y)).sum(1)
    best = len(penalties) if len(y) < 3 else int(errors.argmin())
    shrunk = kept[best] / np.where(singular > 0, singular, 1.0)
    freedom = len(y) - 1 - float(kept[best].sum())
    noise = float(w @ np.square(fitted[best] - y)) / max(freedom, 1.0) if len(y) > 1 else np.inf
    return RidgeFit(
        standardiser,
        right.T @ (shrunk * rotated),
        mean,
        float(penalties[best]) if best < len(penalties) else np.inf,
        noise,
        right.T * (np.sqrt(kept[best]) / np.where(singular > 0, singular, 1.0)),
        float(w.sum()),
        out[best] if len(y) > 1 else y.copy(),
        mean_without(y, w),
    )


def mean_without(labels: Floats, weights: Floats) -> Floats:
    """Return for every row the weighted mean of the other labels [N]; its own label where it is the only one."""
    if len(labels) < 2:
        return labels.copy()
    return np.asarray((weights @ labels - weights * labels) / (weights.sum() - weights))
