"""Contract of every task, and how targets tell theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.errors import InvalidInput
from nas.tasks import TASKS, Task, checked_targets, rescaled, reward_of_batch, score_of_batch, task_of
from nas.tasks.split import random_split
from nas.tasks.targets import told_task

N, K = 24, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(N, K)).astype(np.float32)


def targets_of(kind: str) -> np.ndarray:
    """Return targets of a task, some of which the logits get right."""
    if kind == "classification":
        return LOGITS.argmax(1).astype(np.int32)
    if kind == "multi-label":
        return (LOGITS > 0).astype(np.float32)
    return 50 + 7 * LOGITS


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return task_of(request.param, targets_of(request.param))


def test_a_task_is_a_hashable_value_that_trains_under_jit(task: Task) -> None:
    targets = targets_of(task.kind)
    assert hash(task) == hash(task_of(task.kind, targets)) and task == task_of(task.kind, targets)
    own = task.configured(0.1, ())
    loss = jax.jit(lambda own, outputs, y: own.loss(outputs, y), static_argnums=0)
    value, gradient = jax.value_and_grad(lambda x: loss(own, x, jnp.asarray(targets)))(jnp.asarray(LOGITS))
    stepped = loss(own, LOGITS - 0.1 * np.asarray(gradient), targets)
    assert value.shape == () and np.isfinite(gradient).all() and stepped <= value


def test_right_outputs_have_the_highest_score_and_the_constant_answer_about_none(task: Task) -> None:
    targets = targets_of(task.kind)
    right = np.asarray(task.scaled(targets)) if task.outputs == "numbers" else LOGITS
    constant = np.broadcast_to(task.constant(targets), LOGITS.shape)
    assert float(score_of_batch(task, jnp.asarray(right), jnp.asarray(targets))) == pytest.approx(1, abs=1e-5)
    assert task.score.higher_is_better and float(task.score.of_batch(constant, task.scaled(targets))) < 0.8


def test_the_reward_of_a_policy_is_bounded(task: Task) -> None:
    targets = jnp.asarray(targets_of(task.kind))
    far, own = (float(reward_of_batch(task, jnp.asarray(x), targets)) for x in (1e4 * LOGITS[::-1], LOGITS))
    assert -1 <= far <= 1 and -1 <= own <= 1


def test_a_perfect_teacher_distils_what_the_labels_say(task: Task) -> None:
    targets = jnp.asarray(targets_of(task.kind))
    soft = task.soft(targets, K)
    assert soft.shape == (N, K) == task.taught(jnp.asarray(LOGITS)).shape
    own, by_labels = task.distil(jnp.asarray(LOGITS), soft, targets), task.loss(jnp.asarray(LOGITS), targets)
    assert float(own) == pytest.approx(float(by_labels), rel=1e-5)


def test_splits_are_whole_disjoint_and_fixed_by_the_seed(task: Task) -> None:
    targets = targets_of(task.kind)
    rows, held_out = task.split(targets, 6, 1)
    assert sorted([*rows, *held_out]) == list(range(N)) and 3 <= len(held_out) <= 9
    again = task.split(targets, 6, 1)
    assert np.array_equal(again[1], held_out) and not np.array_equal(task.split(targets, 6, 2)[1], held_out)


def test_numbers_come_out_in_the_units_of_the_targets(task: Task) -> None:
    targets = targets_of(task.kind)
    if task.outputs != "numbers":
        assert task.rescaling() is None and rescaled(task, LOGITS) is LOGITS
        return
    standard = np.asarray(task.scaled(targets))
    assert abs(standard.mean(0)).max() < 1e-4 and standard.std(0) == pytest.approx(np.ones(K), rel=1e-3)
    np.testing.assert_allclose(rescaled(task, standard), targets, rtol=1e-5)


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        (np.arange(4), "classification"), (np.array([True, False]), "classification"),
        (np.array([0.5, 1.0]), "regression"), (np.array([[0.5, 1], [2, 3]]), "regression"),
        (np.array([[0, 1], [1, 1]]), "multi-label"), (np.array([[0.0, 1], [1, 1]]), "multi-label"),
    ],
)  # fmt: skip
def test_targets_tell_their_task(targets: np.ndarray, kind: str) -> None:
    assert told_task("y", targets) == kind


@pytest.mark.parametrize(
    "targets", [np.array([1.0, 2.0]), np.array([[1], [2]]), np.array([[3, 4], [5, 6]]), np.eye(2), np.zeros((2, 2, 2))]
)
def test_targets_of_several_meanings_are_refused_in_one_line(targets: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"--task regression|--task multi-label|classes") as refused:
        told_task("y", targets)
    assert "\n" not in str(refused.value)


def test_a_task_that_is_named_takes_what_it_can() -> None:
    assert checked_targets("y", np.array([[2.0], [0.0]]), "classification").tolist() == [2, 0]
    assert checked_targets("y", np.arange(3), "regression-ccc").shape == (3, 1)
    with pytest.raises(InvalidInput, match="0 and 1 only"):
        checked_targets("y", np.array([[0, 2]]), "multi-label")


def test_a_random_split_leaves_something_on_both_sides() -> None:
    for examples, count in ((4, 0), (4, 9), (10, 3)):
        rows, held_out = random_split(examples, count, 0)
        assert min(len(rows), len(held_out)) >= 1 and len(rows) + len(held_out) == examples
