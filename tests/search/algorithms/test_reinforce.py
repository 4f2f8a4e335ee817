"""The controller reaches its latency target, repair makes that exact, and both are pure functions of their state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.target import load_target
from nas.protocols import Decision
from nas.registry import SPACES, load
from nas.search.algorithms import reinforce
from nas.search.constraints.repair import Constraints, neighbours, repair
from nas.space.cost_table import PARAMS, PEAK_ACTIVATION, compile_table
from tests.support.tiny import SPACE as TINY

UIB = load("space", SPACES, "uib").coarse()


def simulated_search(
    space: object, constraints: Constraints, steps: int, seed: int
) -> tuple[reinforce.Policy, np.ndarray]:
    """Search with a synthetic accuracy that grows with every option index, plus noise; return policy and argmax."""
    settings, choices = reinforce.Reinforce(steps, 8), reinforce.DecisionArrays.of(space.decisions)  # type: ignore[attr-defined]
    policy = reinforce.init(settings, choices)
    rng = np.random.default_rng(seed)
    worth = 0.01 * np.arange(choices.exists.shape[1])
    ask = jax.jit(lambda policy, key: reinforce.ask(policy, key, settings.draws))
    nearest = jax.jit(lambda draws, key: reinforce.nearest(settings, draws, key, settings.samples))
    tell = jax.jit(lambda *args: reinforce.tell(settings, choices, *args))
    for step in range(steps):
        if step < settings.policy_warmup_steps:
            policy = reinforce.skip(policy)
            continue
        keys = jax.random.split(jax.random.key(step + 1000 * seed))
        draws = priced(constraints, ask(policy, keys[0]))
        genotypes = nearest(draws, keys[1])
        top1 = 0.6 + worth[np.asarray(genotypes)].sum(1) + 0.01 * rng.standard_normal(8)
        policy = tell(policy, draws, (genotypes, jnp.asarray(top1)))
    return policy, np.asarray(policy.logits.argmax(1))


def priced(constraints: Constraints, genotypes: jax.Array) -> reinforce.Draws:
    """Return the draws with their latencies; there are no hard bounds here."""
    return reinforce.Draws(genotypes, jnp.asarray(constraints.ratios(np.asarray(genotypes))), jnp.zeros(len(genotypes)))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("target", ["pixel6-cpu", "pixel8-edgetpu"])
def test_policy_comes_near_the_target_and_repair_satisfies_the_constraint(target: str, seed: int) -> None:
    model = load_target(target).model()
    table = compile_table(UIB, model)
    constraints = Constraints(table, 0.7 * table.minimum()[0] + 0.3 * table.maximum()[0])
    policy, argmax = simulated_search(UIB, constraints, 400, seed)
    assert reinforce.entropy(policy) < 0.3
    assert abs(constraints.ratios(argmax[None])[0] - 1) < 0.1
    satisfied = repair(UIB, argmax, np.asarray(jax.nn.log_softmax(policy.logits)), constraints)
    assert satisfied is not None and abs(constraints.ratios(np.array([satisfied]))[0] - 1) <= 0.01


@given(st.integers(0, 100_000), st.floats(0.1, 0.9))
def test_repair_satisfies_the_constraints_or_returns_none(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    table = compile_table(TINY, load_target("pixel6-cpu").model())
    params = compile_table(TINY, PARAMS)
    target = float((1 - share) * table.minimum()[0] + share * table.maximum()[0])
    constraints = Constraints(table, target, 0.02, ((params, 0.8 * params.maximum()[0]),))
    start = TINY.sample(rng, 1)[0]
    scores = rng.standard_normal((len(TINY.decisions), 9))
    satisfied = repair(TINY, start, scores, constraints)
    if satisfied is not None:
        assert constraints.violation(np.array([satisfied]))[0] == 0
        if constraints.violation(start[None])[0] == 0:
            assert satisfied == tuple(start)  # what satisfies the constraints already is left alone
    else:
        assert constraints.violation(start[None])[0] > 0


@given(st.integers(0, 100_000))
def test_repair_keeps_a_bound_on_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, peak = compile_table(TINY, load_target("pixel6-cpu").model()), compile_table(TINY, PEAK_ACTIVATION)
    target = float(0.9 * table.minimum()[0] + 0.1 * table.maximum()[0])
    constraints = Constraints(table, target, 0.02, ((peak, float(peak.minimum()[0])),))
    satisfied = repair(TINY, peak.maximum()[1], rng.standard_normal((len(TINY.decisions), 9)), constraints)
    assert satisfied is not None and peak.score(np.array([satisfied]))[0] == peak.minimum()[0]
    assert abs(constraints.ratios(np.array([satisfied]))[0] - 1) <= 0.02


def test_neighbours_are_all_genotypes_within_the_moves() -> None:
    counts = [len(decision.options) for decision in UIB.decisions]
    start = np.zeros(len(counts), np.int32)
    one, two = neighbours(UIB, start, 1), neighbours(UIB, start, 2)
    steps = [n - 1 for n in counts]
    pairs = (sum(steps) ** 2 - sum(n * n for n in steps)) // 2
    assert len(one) == 1 + sum(steps) and len(two) == 1 + sum(steps) + pairs
    assert len({tuple(row) for row in two}) == len(two) and ((two != start).sum(1) <= 2).all()


def test_learning_rate_sums_to_its_constant_after_the_warm_up_quarter() -> None:
    settings = reinforce.Reinforce(steps=400, samples=8)
    rates = np.array([float(settings.learning_rate(jnp.asarray(step))) for step in range(400)])
    assert (rates[:100] == 0).all() and rates[100] > 0
    assert rates.sum() == pytest.approx(40, rel=1e-3) and rates[-1] / rates[100] == pytest.approx(10, rel=0.02)


def test_inactive_decisions_and_missing_options_get_no_gradient() -> None:
    choices = reinforce.DecisionArrays.of(TINY.decisions)
    settings = reinforce.Reinforce(steps=8, samples=2)
    genotypes = np.zeros((2, len(TINY.decisions)), np.int32)  # depth 1 everywhere: later blocks are inactive
    genotypes[1, 0] = 1
    draws = reinforce.Draws(jnp.asarray(genotypes), jnp.ones(2), jnp.zeros(2))
    policy = reinforce.init(settings, choices)._replace(step=jnp.asarray(4))
    policy = reinforce.tell(settings, choices, policy, draws, (jnp.asarray(genotypes), jnp.asarray([0.2, 0.8])))
    logits = np.asarray(policy.logits)
    needing = [i for i, decision in enumerate(TINY.decisions) if decision.condition]
    assert needing and all(np.ptp(logits[i][np.isfinite(logits[i])]) == 0 for i in needing)
    assert np.isneginf(logits[~choices.exists]).all() and logits[0, 1] > logits[0, 0]


def test_cost_gradient_is_that_of_the_expected_cost() -> None:
    choices = reinforce.DecisionArrays.of((Decision("a", (0, 1, 2)), Decision("b", (0, 1))))
    settings, worth = reinforce.Reinforce(steps=8, samples=2), jnp.asarray([[0.1, 0.4, 0.2], [0.3, 0.0, 0.0]])
    logits = jnp.asarray([[0.2, -0.5, 0.1], [0.4, 0.0, -jnp.inf]])

    def expected_gap(logits: jax.Array) -> jax.Array:
        return (jnp.where(choices.exists, jax.nn.softmax(jnp.where(choices.exists, logits, -1e9)), 0) * worth).sum()

    policy = reinforce.init(settings, choices)._replace(logits=logits, step=jnp.asarray(7))
    genotypes = reinforce.ask(policy, jax.random.key(0), 200_000)
    draws = reinforce.Draws(genotypes, 1 + worth[jnp.arange(2), genotypes].sum(1), jnp.zeros(len(genotypes)))
    even = (genotypes[:2], jnp.ones(2))  # accuracies that say nothing
    moved = reinforce.tell(settings, choices, policy, draws, even).adam.nu / (1 - 0.999)  # Adam's squared gradients
    exact = policy.beta * jax.grad(expected_gap)(logits)
    np.testing.assert_allclose(jnp.sqrt(moved)[choices.exists], jnp.abs(exact)[choices.exists], atol=1e-4)


@given(st.integers(0, 1000), st.integers(1, 20))
def test_evaluated_are_the_draws_near_the_target(seed: int, near: int) -> None:
    settings = reinforce.Reinforce(steps=8, samples=8, draws=64)
    gaps = np.where(np.arange(64) < near, 0.001, 0.5 + np.arange(64))
    order = np.random.default_rng(seed).permutation(64)
    draws = reinforce.Draws(jnp.asarray(order)[:, None], 1 + jnp.asarray(gaps)[order], jnp.zeros(64))
    picked = np.asarray(reinforce.nearest(settings, draws, jax.random.key(seed), 8))[:, 0]
    assert len(set(picked)) == 8 and (picked < near).sum() == min(near, 8)
    assert set(picked[picked >= near]) == set(range(near, 8))  # where few are near, the nearest there are


def test_the_same_keys_give_the_same_policy() -> None:
    table = compile_table(UIB, load_target("pixel6-cpu").model())
    constraints = Constraints(table, 1.5 * table.minimum()[0])
    first, second = (simulated_search(UIB, constraints, 20, 0)[0] for _ in range(2))
    assert (np.asarray(first.logits) == np.asarray(second.logits)).all()
