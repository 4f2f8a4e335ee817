"""Metrics: identities, merging in any order, and standard errors against the spread over repeated draws."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.tasks import METRICS, Metric, MetricState, binomial_error, measured, score_contributions
from nas.tasks.metric import Concordance, MacroF1, MeanAbsoluteError, MeanSquaredError
from nas.tasks.regression import Regression

EVERY = tuple(METRICS.values())
CCC = Concordance()


def examples(metric: Metric, count: int, seed: int = 0, outputs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs [N, K] and targets that are alike, of the type that a metric takes."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, outputs))
    if metric.name == "top1":
        return found, np.where(rng.random(count) < 0.7, found.argmax(1), 0)
    if metric.name == "macro_f1":
        return found, (found + rng.normal(size=found.shape) > 0).astype(np.float64)
    return found, 0.8 * found + 0.5 * rng.normal(size=found.shape) + 0.3


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_metric_of_parts_is_that_of_the_whole(metric: Metric) -> None:
    outputs, targets = examples(metric, 60)
    whole = metric.add(metric.zero(), outputs, targets)
    parts = [metric.add(metric.zero(), outputs[a:b], targets[a:b]) for a, b in ((0, 7), (7, 40), (40, 60))]
    left = metric.merge(metric.merge(parts[0], parts[1]), parts[2])
    right = metric.merge(parts[0], metric.merge(parts[2], parts[1]))
    padded = metric.add(metric.zero(), np.tile(outputs, (2, 1)), np.concatenate([targets] * 2), np.arange(120) < 60)
    for state in (left, right, padded):
        assert metric.value(state) == pytest.approx(metric.value(whole), rel=1e-9)
        assert metric.standard_error(state) == pytest.approx(metric.standard_error(whole), rel=1e-6)
    assert metric.value(whole) == pytest.approx(float(metric.of_batch(outputs, targets)))


numbers = st.integers(-1000, 1000).map(float)


@st.composite
def states(draw: Any) -> MetricState:
    x, y = (np.array(draw(st.lists(numbers, min_size=4, max_size=4))).reshape(2, 2) for _ in range(2))
    return CCC.add(CCC.zero(), x, y)


@settings(deadline=None, max_examples=50)
@given(states(), states(), states())
def test_merging_is_associative_commutative_and_has_a_zero(a: MetricState, b: MetricState, c: MetricState) -> None:
    for one, other in (
        (CCC.merge(CCC.merge(a, b), c), CCC.merge(a, CCC.merge(b, c))),  # whole numbers: exact in any order
        (CCC.merge(a, b), CCC.merge(b, a)),
        (CCC.merge(a, CCC.zero()), a),
    ):
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def test_the_concordance_correlation_has_its_identities() -> None:
    x = np.random.default_rng(0).normal(size=(50, 1))
    x -= x.mean()
    value = lambda a, b: measured(CCC, a, b).value  # noqa: E731
    assert value(x, x) == pytest.approx(1) and value(x, -x) == pytest.approx(-1)
    assert value(x, 0 * x) == 0 and value(x, x + 100) == pytest.approx(0, abs=1e-3)
    y = 0.4 * x + 0.2 * np.random.default_rng(1).normal(size=x.shape) + 0.1
    by_hand = 2 * np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert value(x, y) == value(y, x) == pytest.approx(by_hand)
    assert value(3 * x + 2, 3 * y + 2) == pytest.approx(by_hand)  # of units
    two = measured(CCC, np.hstack([x, x]), np.hstack([x, y])).value
    assert two == pytest.approx((1 + by_hand) / 2)  # the mean over the outputs


def test_other_metrics_against_their_definitions() -> None:
    x, y = np.array([[0.0], [2.0], [5.0]]), np.array([[1.0], [2.0], [3.0]])
    values = {name: measured(METRICS[name], x, y).value for name in ("mse", "mae", "r2", "mae_skill")}
    assert values == pytest.approx({"mse": 5 / 3, "mae": 1, "r2": 1 - (5 / 3) / (2 / 3), "mae_skill": 1 - 1 / 2})
    logits, labels = np.array([[1.0, -1, 1], [1, 1, -1]]), np.array([[1.0, 0, 0], [0, 1, 0]])
    assert measured(MacroF1(), logits, labels).value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert MeanSquaredError().higher_is_better is False and MeanAbsoluteError().unit == "target"


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_the_slope_is_the_gradient_of_the_value(metric: Metric) -> None:
    means = np.asarray(metric.features(*examples(metric, 200)), np.float64).mean(0)
    step = 1e-6
    moved = [
        (metric.of_means(means + step * unit) - metric.of_means(means - step * unit)) / (2 * step)
        for unit in np.eye(len(means))
    ]
    np.testing.assert_allclose(metric.slope(means), moved, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_the_standard_error_is_the_spread_over_repeated_draws(metric: Metric) -> None:
    found = [measured(metric, *examples(metric, 200, seed)) for seed in range(300)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_contributions_have_the_value_as_mean_and_its_error_as_spread(metric: Metric) -> None:
    outputs, targets = examples(metric, 300)
    each, whole = np.asarray(metric.contributions(outputs, targets), np.float64), measured(metric, outputs, targets)
    assert each.shape == (300,) and each.mean() == pytest.approx(whole.value)
    assert each.std() / math.sqrt(299) == pytest.approx(whole.standard_error, rel=0.01)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_compiled_state_is_that_of_the_host(metric: Metric) -> None:
    outputs, targets = examples(metric, 64)
    compiled = jax.jit(lambda x, y, valid: metric.add(metric.zero(), x, y, valid))
    found = compiled(jnp.asarray(outputs, jnp.float32), jnp.asarray(targets), jnp.arange(64) < 50)
    expected = metric.add(metric.zero(), outputs[:50], targets[:50])
    assert metric.value(found) == pytest.approx(metric.value(expected), rel=1e-4)
    assert metric.standard_error(found) == pytest.approx(metric.standard_error(expected), rel=1e-2)


def test_no_example_has_no_value_and_an_accuracy_is_never_certain() -> None:
    accuracy = METRICS["top1"]
    assert math.isnan(CCC.value(CCC.zero())) and math.isnan(CCC.standard_error(CCC.zero()))
    right = accuracy.add(accuracy.zero(), np.eye(2), np.arange(2))
    assert accuracy.standard_error(right) == binomial_error(1.0, 2) > 0.1


def test_a_score_below_zero_counts_as_zero() -> None:
    targets = np.array([[1.0], [2.0], [3.0]])
    found = score_contributions(Regression.of(targets), np.array([[9.0], [-9], [9]]), targets)
    assert found.dtype == np.float32 and found.mean() == pytest.approx(0, abs=1e-5)
    for broken in (np.nan, np.inf):
        assert not score_contributions(Regression.of(targets), np.full((3, 1), broken), targets).any()
