"""The sandwich rule: what runs in a step, what learns from what, and that a training resumes to the same weights."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from nas.space.cost_table import MACS, compile_table
from nas.space.genotypes import embedding
from nas.supernet.evaluator import SearchImages
from nas.supernet.presets import QUICK, StageBudget
from nas.supernet.sandwich import (
    OTHER_BLOCKS,
    SMALLEST_SHARE,
    STREAM,
    SandwichState,
    SandwichTraining,
    compile_steps,
    step_architectures,
)
from nas.supernet.supernet import with_parameters
from tests.support.tiny import SPACE, images

FAST = {"xla_backend_optimization_level": 0}  # compiling is most of the time
STAGE = StageBudget(steps=4, updates=1, samples=2, steps_per_dispatch=2, averages=False)
DATA = images()
TRAINING = SandwichTraining(
    SPACE.proxy(8, 0.5), replace(QUICK, coarse=STAGE, fine=STAGE, batch=8, warmup_fraction=0.0,
            xla_options=tuple(FAST.items())),
    replace(DATA.augmentation, shift_px_fraction=0.0, flip=False), 0,
)  # fmt: skip


@pytest.fixture(scope="module")
def given() -> tuple[Any, SearchImages, Any]:
    """The compiled steps, the images, and rows of them for four steps."""
    x, y = jnp.asarray(DATA.x_train), jnp.asarray(DATA.y_train)
    sampler = SearchImages(x, y, x, y, jnp.full(1, 0.5), jnp.full(1, 0.25))
    rows = jnp.asarray(np.random.default_rng(0).integers(0, len(DATA.y_train), (4, 8)), jnp.int32)
    return compile_steps(TRAINING), sampler, rows


def test_the_extremes_are_the_largest_and_the_smallest_network() -> None:
    table = compile_table(TRAINING.space, MACS)
    many = table.score(TRAINING.space.sample(np.random.default_rng(0), 3000))
    largest, smallest = table.score(TRAINING.extremes)
    assert largest >= many.max() > many.min() >= smallest


def test_a_coarse_sample_is_a_network_of_the_coarse_view() -> None:
    space, view = TRAINING.space, TRAINING.space.coarse()
    sampled = space.sample(np.random.default_rng(1), 50)
    coarse = space.canonical(np.where(TRAINING.coarse < 0, sampled, TRAINING.coarse))
    decision_indices = [space.index_of[decision.name] for decision in view.decisions]
    assert np.array_equal(coarse, embedding(space, view)(sampled[:, decision_indices]))


def test_architectures_of_all_sizes_are_the_largest_two_coarse_ones_and_one_with_other_blocks() -> None:
    fair = replace(TRAINING, all_sizes=True)
    keys = jax.random.split(jax.random.key(3), 400)
    runs = np.asarray(jax.jit(jax.vmap(partial(step_architectures, fair)), compiler_options=FAST)(keys))
    fixed = TRAINING.coarse >= 0
    assert (runs[:, 0] == TRAINING.extremes[0]).all()
    assert (runs[:, 1:3, fixed] == TRAINING.coarse[fixed]).all()
    for decision in np.flatnonzero(~fixed):  # sizes are all there, alike
        counts = np.bincount(runs[:, 1:3, decision].ravel(), minlength=len(TRAINING.space.decisions[decision].options))
        assert counts.min() > 0.5 * counts.mean()
    smallest = (runs[:, 3] == TRAINING.extremes[1]).all(1)
    assert abs(smallest.mean() - SMALLEST_SHARE) < 0.1
    options = np.array([len(decision.options) for decision in TRAINING.space.decisions])[fixed]
    others = (runs[~smallest, 3][:, fixed] != TRAINING.coarse[fixed]).mean()
    assert abs(others - OTHER_BLOCKS * (1 - 1 / options).mean()) < 0.05


def reference_step(state: SandwichState, sampler: SearchImages, rows: jax.Array) -> tuple[Any, list[float]]:
    """One step written out: four gradients, one after the other."""
    graph, space = nnx.graphdef(TRAINING.model()), TRAINING.space
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(TRAINING.seed), STREAM), state.step)
    sizes = jnp.asarray([len(decision.options) for decision in space.decisions])
    sampled = jax.random.randint(jax.random.split(key)[0], (2, len(sizes)), 0, sizes, jnp.int32)
    coarse = jnp.where(TRAINING.coarse < 0, sampled[0], TRAINING.coarse)
    x = jnp.repeat((sampler.x_train[rows] / 255.0 - 0.5) / 0.25, 3, axis=-1).astype(jnp.float32)
    labels = optax.smooth_labels(jax.nn.one_hot(sampler.y_train[rows], 4), TRAINING.preset.label_smoothing)

    def loss_of(params: Any, genotype: Any, targets: Any) -> tuple[Any, Any]:
        logits = with_parameters(graph, params)(x, genotype)
        return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean(), logits

    def moved(state: SandwichState, total: Any) -> Any:
        change, _ = TRAINING.optimizer.update(total, state.optimizer, state.params)
        return optax.apply_updates(state.params, change)

    gradient_of = jax.jit(jax.value_and_grad(loss_of, has_aux=True), compiler_options=FAST)
    soft: Any = None
    total, losses = jax.tree.map(np.zeros_like, state.params), []
    for genotype in (*map(jnp.asarray, TRAINING.extremes), coarse, sampled[1]):
        (loss, logits), gradient = gradient_of(state.params, genotype, labels if soft is None else soft)
        soft = jax.nn.softmax(logits) if soft is None else soft
        total, losses = jax.tree.map(lambda a, b: a + np.asarray(b), total, gradient), [*losses, float(loss)]
    return jax.jit(moved, compiler_options=FAST)(state, total), losses


def test_one_step_is_the_sandwich_with_distillation_written_out(given: tuple[Any, SearchImages, Any]) -> None:
    run_steps, sampler, rows = given
    start = TRAINING.init_state()
    expected, losses = reference_step(start, sampler, rows[0])
    state, report = run_steps(TRAINING.init_state(), sampler, rows[:1])
    assert np.asarray(report.loss)[0] == pytest.approx(losses, rel=1e-4)
    start, expected, after = (jax.tree.map(np.asarray, tree) for tree in (start.params, expected, state.params))
    moved = sum(np.abs(expected[name] - start[name]).sum() for name in expected)
    apart = sum(np.abs(expected[name] - after[name]).sum() for name in expected)
    assert moved > 0 and apart < 1e-2 * moved  # Adam's first step has the sign of gradients near 0


def test_steps_in_two_dispatches_are_the_same_steps(given: tuple[Any, SearchImages, Any]) -> None:
    run_steps, sampler, rows = given
    at_once = TRAINING.init_state()
    for part in (rows[:2], rows[2:]):
        at_once, _ = run_steps(at_once, sampler, part)
    again, _ = run_steps(TRAINING.init_state(), sampler, rows[:2])
    stored = jax.tree.map(np.asarray, again)  # as from a checkpoint
    again, _ = run_steps(stored, sampler, rows[2:])
    assert int(again.step) == 4
    for name, value in at_once.params.items():
        assert np.array_equal(np.asarray(value), np.asarray(again.params[name])), name
