"""The pieces that training loops share: loss, schedule, optimizers, decay mask, running average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.tasks import smoothed_cross_entropy
from nas.training.ema import ema_decay, ema_update
from nas.training.optimizers import AdamW, OptimizerConfig, RMSProp, cosine_schedule, decay_mask, make_optimizer

PARAMS = {name: jnp.ones(3) for name in ("0.0.conv.weight", "0.0.conv.scale", "0.0.conv.bias", "1.0.project.gamma")}


def test_weight_decay_acts_on_kernels_alone() -> None:
    assert decay_mask(PARAMS) == {name: name.endswith("weight") for name in PARAMS}
    assert decay_mask({"stem": {"weight": 1.0, "scale": 1.0}}) == {"stem": {"weight": True, "scale": False}}


@pytest.mark.parametrize("optimizer", [AdamW(0.1, 0.5), RMSProp(0.1, 0.5)])
def test_without_a_gradient_only_kernels_shrink(optimizer: OptimizerConfig) -> None:
    transform = make_optimizer(optimizer, steps=10)
    updates, _ = transform.update(jax.tree.map(jnp.zeros_like, PARAMS), transform.init(PARAMS), PARAMS)
    for name, update in updates.items():
        assert (update < 0).all() if name.endswith("weight") else (update == 0).all()


def test_rmsprop_is_the_published_one() -> None:
    """By hand: mean square 1 at the start, epsilon inside the root, momentum on the scaled step, decay as L2."""
    transform = make_optimizer(RMSProp(0.1, weight_decay=0.5), steps=10**9)
    weight, state = {"weight": jnp.full(1, 2.0)}, None
    state = transform.init(weight)
    value, square, velocity = 2.0, 1.0, 0.0
    for gradient in (0.3, -0.2, 0.5):
        updates, state = transform.update({"weight": jnp.full(1, gradient)}, state, weight)
        weight = jax.tree.map(jnp.add, weight, updates)
        whole = gradient + 0.5 * value
        square = 0.9 * square + 0.1 * whole**2
        velocity = 0.9 * velocity - 0.1 * whole / (square + 1.0) ** 0.5
        value += velocity
        assert float(weight["weight"][0]) == pytest.approx(value, rel=1e-5)
    assert RMSProp.for_batch(4096).learning_rate == pytest.approx(2.64)


def test_schedule_rises_to_the_peak_and_falls_to_nothing() -> None:
    rate = cosine_schedule(0.4, steps=100, warmup_fraction=0.1)
    values = np.array([float(rate(step)) for step in range(101)])
    assert values[0] == pytest.approx(0.04)
    assert values.max() == values[9] == pytest.approx(0.4)
    assert (np.diff(values[:10]) > 0).all() and (np.diff(values[10:]) < 0).all()
    assert values[55] == pytest.approx(0.2)
    assert values[100] == pytest.approx(0, abs=1e-7)
    assert float(cosine_schedule(0.4, 1)(0)) == pytest.approx(0.4)


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0.1), (10, 1.0), (10, -0.1)])
def test_impossible_schedule_is_refused(steps: int, warmup: float) -> None:
    with pytest.raises(InvalidInput, match="a schedule needs"):
        cosine_schedule(0.1, steps, warmup)


@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 4]), st.sampled_from([2, 5]), st.floats(0, 0.9))
@settings(max_examples=25)
def test_smoothed_cross_entropy_is_that_of_the_smoothed_target(
    seed: int, n: int, classes: int, smoothing: float
) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)), rng.integers(classes, size=n)
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    losses, weights = -(target * log_p).sum(1), tuple(rng.uniform(0.1, 5, classes).tolist())
    given = jnp.asarray(logits), jnp.asarray(labels), smoothing
    assert float(smoothed_cross_entropy(*given)) == pytest.approx(losses.mean(), rel=1e-5)
    weighted = (losses * np.array(weights)[labels]).mean()
    assert float(smoothed_cross_entropy(*given, weights)) == pytest.approx(weighted, rel=1e-5)


def test_running_average_of_a_constant_is_the_constant_and_of_a_jump_soon_the_new_value() -> None:
    average = {"weight": jnp.full(1, 5.0)}
    for step in range(30):
        average = ema_update(average, {"weight": jnp.full(1, 5.0)}, ema_decay(step, 0.9999))
    assert float(average["weight"][0]) == 5.0
    for step in range(30, 300):
        average = ema_update(average, {"weight": jnp.full(1, 1.0)}, ema_decay(step, 0.9999))
    assert float(average["weight"][0]) == pytest.approx(1, abs=1e-3)


def test_decay_of_the_average_grows_to_the_given_one() -> None:
    decays = [float(ema_decay(step, 0.99)) for step in (0, 10, 100, 10_000)]
    assert decays == sorted(decays)
    assert decays[0] == pytest.approx(0.1) and decays[-1] == pytest.approx(0.99)
