"""What the ranking of a predictor is worth: Kendall's tau and its interval, in bands of equal cost; noise ceiling."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import asin, atanh, pi, sqrt, tanh
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST = 4  # labels below which a tau says nothing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tau:
    """Kendall's tau of two rankings of `count` networks, and its interval at `confidence`."""

    value: float
    low: float
    high: float
    count: int
    confidence: float

    @property
    def positive(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


def agreement(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return for every pair of rows 1 where `a` and `b` [N] order it alike, -1 where not, 0 for a tie, as [N, N]."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.asarray(np.sign(x[:, None] - x) * np.sign(y[:, None] - y))


def kendall_tau(a: ArrayLike, b: ArrayLike) -> float:
    """Return Kendall's tau (a) of two rankings [N]: concordant less discordant pairs over all; 0 below 2 rows."""
    pairs = agreement(a, b)
    count = len(pairs)
    return float(pairs.sum() / (count * (count - 1))) if count > 1 else 0.0


def tau_with_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.9) -> Tau:
    """Return Kendall's tau of two rankings [N] and its interval; -1 to 1 below 4 rows.

    On the scale of Fisher's z, with the larger of two standard errors: the jackknife's, and that of Fieller, Hartley
    and Pearson (1957) for a sample of N, so that a perfect order of few networks is not taken for certain.
    """
    pairs = agreement(a, b)
    count = len(pairs)
    if count < FEWEST:
        return Tau(kendall_tau(a, b), -1.0, 1.0, count, confidence)
    value = float(pairs.sum() / (count * (count - 1)))
    without = (pairs.sum() - 2 * pairs.sum(1)) / ((count - 1) * (count - 2))
    error = sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    inside = float(np.clip(value, 1 / count - 1, 1 - 1 / count))
    deviation = max(error / (1 - inside**2), sqrt(0.437 / max(count - 4, 0.5)))
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation
    low, high = tanh(atanh(inside) - reach), tanh(atanh(inside) + reach)
    return Tau(value, min(low, value), max(high, value), count, confidence)  # a perfect order lies outside else


def tau_in_bands(a: ArrayLike, b: ArrayLike, bands: Iterable[NDArray[np.intp]]) -> float:
    """Return Kendall's tau over all pairs of rows that share one of the `bands` (row numbers); NaN without a pair."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    agreed, total = 0.0, 0
    for rows in bands:
        agreed += kendall_tau(x[rows], y[rows]) * len(rows) * (len(rows) - 1)
        total += len(rows) * (len(rows) - 1)
    return agreed / total if total else float("nan")


def expected_ceiling(labels: ArrayLike) -> float:
    """Return the tau that a perfect predictor is expected to show against the mean of labels [N, K] over K seeds.

    From the variance between networks and within them (one-way analysis of variance) for normal accuracies: tau is
    2 / pi times the arc sine of the correlation. NaN without a second seed; 0 where the noise explains everything.
    """
    values = np.asarray(labels, np.float64)
    values = values[np.isfinite(values).all(1)]
    count, seeds = values.shape
    if count < 2 or seeds < 2:
        return float("nan")
    within = float(values.var(1, ddof=1).mean())
    between = float(values.mean(1).var(ddof=1))
    share = max(0.0, between - within / seeds) / between if between > 0 else 0.0
    return 2 / pi * asin(sqrt(share))
