"""The study of supernets: what each variant samples, and that its optimizer is AdamW where nothing is separate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.supernet_variants import (
    GROUPS,
    PER_STEP,
    VARIANTS,
    VariantState,
    _updated,
    agreement,
    depths,
    draw_by_complexity,
    draw_fair,
    split_of,
)
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.sandwich import SandwichTraining
from nas.training.optimizers import AdamW

STEPS = 12


@pytest.fixture(scope="module")
def plan() -> SearchPlan:
    return make_plan(SearchConfig(target="edgetpu", data="digits", preset="standard"))


@pytest.fixture(scope="module")
def training(plan: SearchPlan) -> SandwichTraining:
    return SandwichTraining(plan.proxy(plan.space), plan.preset, plan.dataset.augmentation, 0)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_samples_architectures_of_the_space(
    name: str, plan: SearchPlan, training: SandwichTraining
) -> None:
    draws = VARIANTS[name].draw(plan, training, STEPS, np.random.default_rng(0))
    per_step = GROUPS if name == "splits" else PER_STEP
    assert draws.genotypes.shape == (STEPS, per_step, len(plan.space.decisions))
    assert draws.groups.shape == draws.exponents.shape == (STEPS, per_step)
    sizes = np.array([len(decision.options) for decision in plan.space.decisions])
    assert (draws.genotypes >= 0).all() and (draws.genotypes < sizes).all()
    assert set(np.unique(draws.groups)) <= set(range(VARIANTS[name].groups))
    if name == "band":
        assert plan.constraints(plan.space).satisfied_by(draws.genotypes.reshape(-1, len(sizes))).all()
    if name == "splits":
        flat = draws.genotypes.reshape(-1, len(sizes))
        assert np.array_equal(split_of(plan, flat), draws.groups.reshape(-1))
        assert np.diff([depths(plan, draws.genotypes[:, group]).mean() for group in range(GROUPS)]).min() > 0


def test_fair_sampling_trains_all_options_equally_often(plan: SearchPlan, training: SandwichTraining) -> None:
    found = draw_fair(plan, training, STEPS, np.random.default_rng(0)).genotypes.reshape(STEPS * PER_STEP, -1)
    for column, decision in zip(found.T, plan.space.decisions, strict=True):
        counts = np.bincount(column, minlength=len(decision.options))
        assert np.ptp(counts) <= 1


def test_complex_architectures_decay_more_slowly(plan: SearchPlan, training: SandwichTraining) -> None:
    draws = draw_by_complexity(plan, training, STEPS, np.random.default_rng(0))
    order = np.argsort(draws.groups.reshape(-1), kind="stable")
    exponents = draws.exponents.reshape(-1)[order]
    assert exponents[0] > 1 > exponents[-1]
    groups = draws.groups.reshape(-1)
    assert np.diff([draws.exponents.reshape(-1)[groups == group].mean() for group in range(GROUPS)]).max() < 0


def test_with_one_group_the_update_is_that_of_adamw() -> None:
    optimizer, rng = AdamW(), np.random.default_rng(0)
    params = {"a.weight": jnp.asarray(rng.normal(size=(3, 2))), "a.bias": jnp.asarray(rng.normal(size=2))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    wide = jax.tree.map(lambda a: a[None], zeros)
    state = VariantState(params, wide, zeros, jnp.zeros(1, jnp.int32), jnp.int32(0))
    known = optimizer.build(lambda step: optimizer.learning_rate * 0.5)
    expected, moments = params, known.init(params)
    for _ in range(3):
        gradient = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)
        change, moments = known.update(gradient, moments, expected)
        expected = jax.tree.map(jnp.add, expected, change)
        total, groups = jax.tree.map(lambda a: a[None], gradient), jnp.zeros(PER_STEP, jnp.int32)
        state = _updated(VARIANTS["uniform"], optimizer, state, total, groups, jnp.float32(0.5))
    for name in params:
        assert np.allclose(state.params[name], expected[name], rtol=1e-4)


def test_agreement_is_that_of_seeds_of_one_variant_at_one_time() -> None:
    up, down = {"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 0.3, "b": 0.2, "c": 0.1}
    records = [
        {"variant": "fair", "core_s": 300.0, "top1": up},
        {"variant": "fair", "core_s": 300.0, "top1": down},
        {"variant": "fair", "core_s": 150.0, "top1": up},
        {"variant": "sandwich", "core_s": 300.0, "top1": up},
        {"variant": "sandwich", "core_s": 300.0, "top1": up},
    ]
    fair, sandwich = agreement(records)
    assert fair.startswith("fair ") and "tau -1.00" in fair
    assert sandwich.startswith("sandwich ") and "tau +1.00" in sandwich
