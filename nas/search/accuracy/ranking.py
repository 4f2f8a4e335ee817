"""What ranks networks of equal latency, by a table of trained ones: Kendall's tau of each predictor, and its ceiling.

All networks lie in one band of latency, so a tau is one "in the band". The ceiling is the tau that a perfect predictor
would show: the accuracies are means over few seeds, and what they rank is partly noise.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.records.typed import Count, NonNegative, value_of
from nas.search.accuracy.evidence import Tau, kendall_tau, tau_with_interval
from nas.search.accuracy.ridge import fit_ridge

PLAIN = {"networks": Count, "seeds": Count, "spread": NonNegative}  # fields of the evidence in files
CONFIDENCE = 0.95
SIMULATIONS = 1000  # of a perfect predictor
FEWEST = 4  # networks below which nothing is said
ACCURACY_MODEL = "accuracy model, leave-one-out"
EARLY = "first epoch of one seed, by the others"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseCeiling:
    """The tau that a perfect predictor would show: its mean, and the 5th and 95th of 100; NaN with one seed."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class RankingEvidence:
    """What a table of trained networks says about predictors."""

    networks: int  # with an accuracy for every seed
    seeds: int
    spread: float  # standard deviation of the mean accuracies between networks, a fraction
    noise: float  # standard deviation between two trainings of one network; NaN with one seed
    predictors: Mapping[str, Tau]
    ceiling: NoiseCeiling
    between_seeds: Tau | None  # of two single trainings, the mean over all pairs of seeds; None with one seed
    metric: str = "top1"  # the name of what the accuracies are

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; null for what is not known."""
        body = asdict(self) | {"predictors": {name: asdict(tau) for name, tau in self.predictors.items()}}
        return {name: _without_nan(value) for name, value in body.items() if (name, value) != ("metric", "top1")}

    @classmethod
    def from_dict(cls, data: Any) -> "RankingEvidence":
        """Return the evidence in the JSON form `data`; `InvalidInput` where it is none."""
        try:
            body = {name: value_of(kind, data[name], name) for name, kind in PLAIN.items()}
            return cls(
                **body,
                noise=_number(data["noise"]),
                predictors={name: _stated_tau(tau) for name, tau in data["predictors"].items()},
                ceiling=NoiseCeiling(**{name: _number(value) for name, value in data["ceiling"].items()}),
                between_seeds=_stated_tau(data["between_seeds"]) if data["between_seeds"] else None,
                metric=value_of(str, data.get("metric", "top1"), "metric"),
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise InvalidInput(f"this is no evidence of a ranking ({error}); rank again") from error


def _stated_tau(data: Any) -> Tau:
    """Return the tau in its JSON form; `TypeError` or `KeyError` where it is none."""
    numbers = {name: _number(value) for name, value in data.items()}
    return Tau(**numbers | {"count": value_of(Count, data["count"], "count")})


def evidence_of(
    accuracy: Floats, predictors: Mapping[str, Floats], features: Floats, early: Floats | None = None
) -> RankingEvidence:
    """Return what accuracies [N, seeds] (fractions, NaN where a training failed) say about predictors [N] each.

    `features` [N, F] are those of the accuracy model, which predicts each network from the others. A predictor with
    values that are not known is judged on the networks where they are. `early` [N] is the accuracy of the first seed's
    training after its first epoch, which is judged by the other seeds: it shares the noise of its own.
    """
    kept = np.isfinite(accuracy).all(1)
    labels = accuracy[kept]
    count, seeds = labels.shape
    if count < FEWEST:
        raise InvalidInput(f"a ranking needs at least {FEWEST} trained networks, got {count}")
    mean = labels.mean(1)
    judged = {name: _tau(values[kept], mean) for name, values in predictors.items()}
    judged[ACCURACY_MODEL] = tau_with_interval(left_out(features[kept], mean), mean, CONFIDENCE)
    if early is not None and seeds > 1:
        judged[EARLY] = _tau(early[kept], labels[:, 1:].mean(1))
    noise = float(np.sqrt(labels.var(1, ddof=1).mean())) if seeds > 1 else float("nan")
    return RankingEvidence(
        count, seeds, float(mean.std(ddof=1)), noise, judged, noise_ceiling(labels), between_seeds(labels)
    )


def left_out(features: Floats, labels: Floats) -> Floats:
    """Return how much better each network is predicted to be than the mean of the others, by a fit without it [N].

    Against the mean of the others, since that mean falls where the network's own label is high.
    """
    fit = fit_ridge(features, labels)
    return fit.leave_one_out - fit.without


def _tau(values: Floats, labels: Floats) -> Tau:
    known = np.isfinite(values)
    return tau_with_interval(values[known], labels[known], CONFIDENCE)


def between_seeds(labels: Floats) -> Tau | None:
    """Return the tau between two seeds of accuracies [N, seeds], the mean over all pairs; None with one seed."""
    pairs = [tau_with_interval(a, b, CONFIDENCE) for a, b in combinations(labels.T, 2)]
    if not pairs:
        return None
    value, low, high = (float(np.mean([getattr(tau, name) for tau in pairs])) for name in ("value", "low", "high"))
    return Tau(value, low, high, len(labels), CONFIDENCE)


def noise_ceiling(labels: Floats, seed: int = 0) -> NoiseCeiling:
    """Return the tau that a perfect predictor would show against the mean of accuracies [N, seeds], by simulation.

    The variances between and within networks are estimated by a one-way analysis of variance; then so many networks
    with normal accuracies and normal noise are drawn again and again. NaN with one seed.
    """
    count, seeds = labels.shape
    if seeds < 2:
        return NoiseCeiling(float("nan"), float("nan"), float("nan"))
    within = float(labels.var(1, ddof=1).mean()) / seeds  # of a mean
    between = max(0.0, float(labels.mean(1).var(ddof=1)) - within)
    rng = np.random.default_rng([seed, count, seeds])
    true = np.sqrt(between) * rng.standard_normal((SIMULATIONS, count))
    seen = true + np.sqrt(within) * rng.standard_normal((SIMULATIONS, count))
    found = [kendall_tau(*pair) for pair in zip(true, seen, strict=True)]
    return NoiseCeiling(float(np.mean(found)), *map(float, np.quantile(found, (0.05, 0.95))))


def _without_nan(value: Any) -> Any:
    """Return a JSON value with null for NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float | None) -> float:
    """Return a number of a JSON value, NaN for null."""
    return float("nan") if value is None else float(value)
