"""The verdict on two arms of a study: which searches find better networks, from the accuracies of their answers alone.

A search's value is the mean test accuracy of the network it found, over the seeds of its final training. Two arms are
told apart where both hold: a two-sided permutation test on their means gives p < .05, and the 95 % bootstrap interval
of the difference does not contain 0. Everything else is "not resolved".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIGNIFICANT = 0.05
FEWEST = 2  # searches per arm below which nothing is said
EXACT = 20_000  # splits up to which all are tried
BOOTSTRAPS = 10_000
ROUNDING = 1e-12  # of a mean of fractions
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ArmVerdict:
    """The difference of two arms in accuracy, a fraction, with its interval and p; `counts` are searches per arm."""

    difference: float
    low: float
    high: float
    p: float
    counts: tuple[int, int]

    @property
    def resolved(self) -> bool:
        """Whether the two can be told apart."""
        return self.p < SIGNIFICANT and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        words = "resolved" if self.resolved else "not resolved"
        each = f"{self.counts[0]}" if self.counts[0] == self.counts[1] else f"{self.counts[0]} and {self.counts[1]}"
        if np.isinf(self.low):
            return f"{words}: {100 * self.difference:+.2f} points, too few searches per arm ({each}) for an interval"
        interval = f"[{100 * self.low:+.2f}, {100 * self.high:+.2f}]"
        return f"{words}: {100 * self.difference:+.2f} points {interval}, p = {self.p:.3f}, {each} searches per arm"


def verdict(ours: ArrayLike, others: ArrayLike, seed: int = 0) -> ArmVerdict:
    """Return the verdict on the values [n] of one arm's searches against those [m] of another, fractions."""
    a, b = np.asarray(ours, np.float64), np.asarray(others, np.float64)
    counts = len(a), len(b)
    if min(counts) < FEWEST:
        difference = float(a.mean() - b.mean()) if min(counts) else float("nan")
        return ArmVerdict(difference, float("-inf"), float("inf"), 1.0, counts)
    low, high = bootstrap_interval(a, b, seed)
    return ArmVerdict(float(a.mean() - b.mean()), low, high, permutation_p(a, b, seed), counts)


def bootstrap_interval(a: Floats, b: Floats, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of mean(a) - mean(b), both resampled."""
    rng = np.random.default_rng([seed, 1])
    draws = [values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(1) for values in (a, b)]
    low, high = np.quantile(draws[0] - draws[1], (0.025, 0.975))
    return float(low), float(high)


def permutation_p(a: Floats, b: Floats, seed: int = 0) -> float:
    """Return the two-sided p of the difference of means under exchange of all searches between the arms.

    Over all splits where they are at most `EXACT`, else over so many random ones (the observed one counts as one).
    """
    pooled, count = np.concatenate([a, b]), len(a)
    observed = abs(a.mean() - b.mean())
    if comb(len(pooled), count) <= EXACT:
        splits = np.array(list(combinations(range(len(pooled)), count)))
        first, extra = pooled[splits], 0
    else:
        rng = np.random.default_rng([seed, 2])
        first, extra = rng.permuted(np.tile(pooled, (EXACT, 1)), axis=1)[:, :count], 1
    difference = first.mean(1) - (pooled.sum() - first.sum(1)) / len(b)
    reached = int((np.abs(difference) >= observed - ROUNDING).sum())
    return (reached + extra) / (len(first) + extra)


def seeds_interval(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the difference of the means of two networks' trainings, and its interval by Welch's t."""
    from scipy.stats import t

    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    parts = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    difference, error = float(x.mean() - y.mean()), float(np.sqrt(sum(parts)))
    if error == 0:
        return difference, difference, difference
    freedom = sum(parts) ** 2 / sum(part**2 / (len(z) - 1) for part, z in zip(parts, (x, y), strict=True))
    reach = float(t.ppf(0.5 + confidence / 2, freedom)) * error
    return difference, difference - reach, difference + reach


def search_values(rows: Iterable[Mapping[str, str]], trainings: int) -> dict[tuple[str, str, str], list[float]]:
    """Return the values of all searches by (study, target, arm), from rows of arms.csv.

    A search counts once its network has `trainings` final trainings.
    """
    by_search: dict[tuple[str, str, str, int], list[float]] = {}
    for row in rows:
        key = row["study"], row["target"], row["arm"], int(row["search_seed"])
        by_search.setdefault(key, []).append(float(row["test_top1"]))
    found: dict[tuple[str, str, str], list[float]] = {}
    for (*arm, _), values in sorted(by_search.items()):
        if len(values) >= trainings:
            found.setdefault((arm[0], arm[1], arm[2]), []).append(float(np.mean(values)))
    return found


def mean_text(values: Sequence[float]) -> str:
    """Return the mean and the standard deviation of searches as text, in percent."""
    spread = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{spread} %, {len(values)} search{'es' * (len(values) > 1)}"
