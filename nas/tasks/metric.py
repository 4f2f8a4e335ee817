"""Metrics with a mergeable state: each is a smooth function of the means of a few numbers per example.

The concordance correlation coefficient (CCC), say, needs five means over the whole set, an accuracy one. So the state
of every metric is the same: how many examples, the sums [F] of their numbers ("features"), and the sums [F, F] of the
products of these. States add up, in any order, over batches, devices and workers.

The standard error follows from the state by the delta method (Cramer 1946, section 28.4): a metric is linear in the
means nearby, so its variance is that of one linear combination of the features. No bootstrap is needed. The same
combination, example by example, are the contributions of the examples (the infinitesimal jackknife, Efron 1982): their
mean is the value, and of two metrics on the same examples the difference is known by the difference of contributions.

All of it runs on numpy arrays, and on those of jax inside a compiled program.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = Any  # of numpy, or of jax
TINY = 1e-12  # the least denominator: what does not vary has no correlation, and no error
THRESHOLD = 0.0  # of a logit: a probability of one half


class MetricState(NamedTuple):
    """What is known of the examples so far; the scalars 0 before the first."""

    count: Array  # of examples
    total: Array  # [F], the sums of their features
    products: Array  # [F, F], the sums of the products of their features


class Metric:
    """Base class of all metrics; a subclass says what the features of an example are, and what becomes of their means.

    `unit` is "" for a ratio and "target" where a value is in the unit of the targets. A metric that searches maximise
    (`Task.score`) is at most 1, and 0 is what a constant answer gets or nearly so.
    """

    name: ClassVar[str]  # in files
    title: ClassVar[str]  # in tables
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True

    def features(self, outputs: Array, targets: Array) -> Array:
        """Return the features [N, F] of examples with network outputs [N, K]; `targets` are [N] or [N, K]."""
        raise NotImplementedError

    def of_means(self, means: Array) -> Array:
        """Return the value from the means [F] of the features."""
        raise NotImplementedError

    def slope(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient [F] of `of_means`."""
        raise NotImplementedError

    def zero(self) -> MetricState:
        """Return the state before the first example."""
        return MetricState(0.0, 0.0, 0.0)

    def add(self, state: MetricState, outputs: Array, targets: Array, valid: Array | None = None) -> MetricState:
        """Return the state with a batch; `valid` [N] says which of its examples count, by default all."""
        found = self.features(outputs, targets)
        counts = found[:, 0] * 0 + 1 if valid is None else valid.astype(found.dtype)
        kept = found * counts[:, None]
        return self.merge(state, MetricState(counts.sum(), kept.sum(0), kept.T @ found))

    def merge(self, one: MetricState, other: MetricState) -> MetricState:
        """Return the state of the examples of both."""
        return MetricState(*(a + b for a, b in zip(one, other, strict=True)))

    def value(self, state: MetricState) -> float:
        """Return the value over all examples of a state; NaN where there are none."""
        count, total, _ = _on_host(state)
        return float(self.of_means(total / count)) if count else math.nan

    def standard_error(self, state: MetricState) -> float:
        """Return the standard error of the value by the delta method; NaN below two examples."""
        count, total, products = _on_host(state)
        if count < 2:
            return math.nan
        means = total / count
        slope = self.slope(means)
        variance = slope @ (products / count - np.outer(means, means)) @ slope
        return math.sqrt(max(float(variance), 0.0) / float(count - 1))

    def of_batch(self, outputs: Array, targets: Array) -> Array:
        """Return the value of one batch, inside of a compiled program too."""
        return self.of_means(self.features(outputs, targets).mean(0))

    def contributions(self, outputs: Array, targets: Array) -> NDArray[Any]:
        """Return what each example adds to the value, as [N] whose mean is the value (float64, on the host)."""
        with np.errstate(invalid="ignore", over="ignore"):  # outputs that are no numbers give a value that is none
            found = np.asarray(self.features(np.asarray(outputs, np.float64), np.asarray(targets)), np.float64)
            means = found.mean(0)
            return float(self.of_means(means)) + (found - means) @ self.slope(means)


def _on_host(state: MetricState) -> tuple[Any, Any, Any]:
    """Return count, sums and sums of products of a state in double precision."""
    count, total, products = (np.asarray(part, np.float64) for part in state)
    return count, np.atleast_1d(total), np.atleast_2d(products)


def binomial_error(share: float, examples: int) -> float:
    """Return the standard error of an accuracy `share`, a fraction of `examples` examples; it is never 0.

    That of a binomial proportion, sqrt(p (1 - p) / n), but no less than what is left of doubt where all n of n
    examples are classified correctly: the standard deviation of Beta(n + 1, 1), the posterior of a proportion under a
    uniform prior (Laplace's rule of succession). For 2 of 2 examples that is 19 points, for 256 of 256 it is 0.4.
    """
    certain = math.sqrt((examples + 1) / (examples + 3)) / (examples + 2)
    return max(math.sqrt(share * (1 - share) / examples), certain)


class Accuracy(Metric):
    """The share of examples whose largest logit is that of their class (top-1)."""

    name, title = "top1", "top-1"

    def features(self, outputs: Array, targets: Array) -> Array:
        """Return whether each example is classified correctly, [N, 1]."""
        return (outputs.argmax(-1) == targets)[:, None].astype("float32")

    def of_means(self, means: Array) -> Array:
        """Return the share."""
        return means[0]

    def slope(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones(1)

    def standard_error(self, state: MetricState) -> float:
        """Return the binomial standard error, which is never 0."""
        count, total, _ = _on_host(state)
        return binomial_error(float(total[0] / count), int(count)) if count else math.nan

    def contributions(self, outputs: Array, targets: Array) -> NDArray[Any]:
        """Return which examples are classified correctly [N], as truth values."""
        return np.asarray(np.asarray(outputs).argmax(-1) == np.asarray(targets))


class PerOutput(Metric):
    """A metric that is the mean over the outputs of one taken for each; features are blocks of K, one per quantity."""

    blocks: ClassVar[int]  # quantities per output

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return the quantities of each output, each [N, K]."""
        raise NotImplementedError

    def each(self, *means: Array) -> Array:
        """Return the values [K] of the outputs from the means [K] of their quantities."""
        raise NotImplementedError

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return the derivatives [K] of `each` by the mean of each quantity."""
        raise NotImplementedError

    def features(self, outputs: Array, targets: Array) -> Array:
        """Return the quantities side by side, [N, blocks * K]."""
        parts = self.quantities(outputs, targets)
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts, -1)
        import jax.numpy as jnp

        return jnp.concatenate(parts, -1)

    def per_output(self, means: Array) -> Array:
        """Return the values [K] of the outputs from the means [F] of the features."""
        return self.each(*means.reshape(self.blocks, -1))

    def of_means(self, means: Array) -> Array:
        """Return the mean of the values of the outputs."""
        return self.per_output(means).mean()

    def slope(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient of the mean over the outputs."""
        parts = means.reshape(self.blocks, -1)
        return np.concatenate(self.slopes(*parts)) / parts.shape[1]


class MeanSquaredError(PerOutput):
    """The mean of the squared differences of outputs and targets (MSE), in the square of the unit of the targets."""

    name, title, unit, higher_is_better, blocks = "mse", "MSE", "target^2", False, 1

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return the squared differences."""
        return ((outputs - targets) ** 2,)

    def each(self, *means: Array) -> Array:
        """Return the means themselves."""
        return means[0]

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return 1."""
        return (np.ones_like(means[0]),)


class MeanAbsoluteError(MeanSquaredError):
    """The mean of the absolute differences of outputs and targets (MAE), in the unit of the targets."""

    name, title, unit = "mae", "MAE", "target"

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return the absolute differences."""
        return (abs(outputs - targets),)


class R2(PerOutput):
    """The coefficient of determination R2: 1 - MSE / variance of the targets; 0 is what their own mean gets."""

    name, title, blocks = "r2", "R2", 3

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return squared differences, targets, and squared targets."""
        return (outputs - targets) ** 2, targets + 0 * outputs, targets**2 + 0 * outputs

    def each(self, *means: Array) -> Array:
        """Return R2 of each output."""
        error, mean, square = means
        return 1 - error / at_least(square - mean**2)

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return the derivatives by the error, by the mean and by the mean square of the targets."""
        error, mean, square = means
        variance = at_least(square - mean**2)
        return -1 / variance, -2 * mean * error / variance**2, error / variance**2


class SkillMAE(PerOutput):
    """The skill of an MAE: 1 - MAE / MAE of the mean predictor (a skill score, Murphy 1988); 0 is what that one gets.

    Targets are standardised by the mean of the training set, so that the mean predictor says 0.
    """

    name, title, blocks = "mae_skill", "MAE skill", 2

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return the absolute differences from outputs and from the mean."""
        return abs(outputs - targets), abs(targets + 0 * outputs)

    def each(self, *means: Array) -> Array:
        """Return the skill of each output."""
        return 1 - means[0] / at_least(means[1])

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return the derivatives by both errors."""
        error, of_mean = means[0], at_least(means[1])
        return -1 / of_mean, error / of_mean**2


class Concordance(PerOutput):
    """The concordance correlation coefficient (Lin 1989): 2 cov / (var x + var y + (mean x - mean y)^2), in [-1, 1].

    It needs five means over the whole set; the denominator is E[x^2] + E[y^2] - 2 E[x] E[y]. A constant answer gets 0.
    """

    name, title, blocks = "ccc", "CCC", 5

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return x, y, x^2, y^2 and xy of outputs x and targets y."""
        targets = targets + 0 * outputs
        return outputs, targets, outputs**2, targets**2, outputs * targets

    def each(self, *means: Array) -> Array:
        """Return the coefficient of each output."""
        x, y, xx, yy, xy = means
        return 2 * (xy - x * y) / at_least(xx + yy - 2 * x * y)

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return the derivatives by the five means."""
        x, y, xx, yy, xy = means
        top, bottom = 2 * (xy - x * y), at_least(xx + yy - 2 * x * y)
        rest, by_square = (bottom - top) / bottom**2, -top / bottom**2
        return -2 * y * rest, -2 * x * rest, by_square, by_square, 2 / bottom


class MacroF1(PerOutput):
    """The mean over the labels of F1 = 2 TP / (predicted + positive) at a probability of one half.

    Its counts merge exactly over batches and workers, which the ranking behind a mean average precision does not, and
    it judges the very answers that a deployed network gives; a rare label counts as much as a frequent one. A label
    that is neither predicted nor there has 0.
    """

    name, title, blocks = "macro_f1", "macro F1", 3

    def quantities(self, outputs: Array, targets: Array) -> tuple[Array, ...]:
        """Return true positives, predicted and actual positives, from logits and targets 0 or 1."""
        predicted = (outputs > THRESHOLD).astype(outputs.dtype)
        return predicted * targets, predicted, targets + 0 * outputs

    def each(self, *means: Array) -> Array:
        """Return F1 of each label."""
        hit, predicted, positive = means
        return 2 * hit / at_least(predicted + positive)

    def slopes(self, *means: Array) -> tuple[Array, ...]:
        """Return the derivatives by the three shares."""
        hit, both = means[0], at_least(means[1] + means[2])
        by_share = -2 * hit / both**2
        return 2 / both, by_share, by_share


def at_least(values: Array, least: float = TINY) -> Array:
    """Return denominators that are no less than `least`."""
    return values.clip(least)


@dataclass(frozen=True)
class Uncertain:
    """A value with its standard error, both in the unit of its metric."""

    value: float
    standard_error: float


def measured(metric: Metric, outputs: Array, targets: Array) -> Uncertain:
    """Return the value of a metric over all examples, with its standard error."""
    state = metric.add(metric.zero(), np.asarray(outputs, np.float64), np.asarray(targets))
    return Uncertain(metric.value(state), metric.standard_error(state))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (Accuracy(), MeanSquaredError(), MeanAbsoluteError(), R2(), SkillMAE(), Concordance(), MacroF1())
}
