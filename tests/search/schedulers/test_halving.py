"""Which trials go on: laws of synchronous halving, and the decay rule against curves that are known to the end."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.search.schedulers import halving, learning_curve


def played(scores: dict[str, list[float]], steps: tuple[int, ...], order: list[int]) -> halving.State:
    """Halve trials whose score after e epochs is known, reported in an order that `order` mixes."""
    state = halving.init(tuple(scores), steps)
    while not state.done:
        epoch, waiting = halving.ask(state)
        trial = waiting[order[len(waiting) % len(order)] % len(waiting)]
        state = halving.tell(state, trial, scores[trial][epoch - 1])
    return state


CURVES = st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), min_size=9, max_size=9), min_size=1, max_size=30)


@given(CURVES, st.lists(st.integers(0, 99), min_size=1), st.lists(st.integers(0, 99), min_size=1))
def test_the_order_of_arrival_changes_nothing(curves: list[list[float]], one: list[int], other: list[int]) -> None:
    scores = {f"t{i}": curve for i, curve in enumerate(curves)}
    steps = halving.rungs(9, len(scores))
    assert played(scores, steps, one) == played(scores, steps, other)


@given(CURVES)
def test_every_trial_leaves_once_and_the_best_of_each_rung_stay(curves: list[list[float]]) -> None:
    scores = {f"t{i}": curve for i, curve in enumerate(curves)}
    steps = halving.rungs(9, len(scores))
    left = played(scores, steps, [0]).left
    assert sorted(place.trial for place in left) == sorted(scores)
    assert all(place.score == scores[place.trial][place.epochs - 1] for place in left)
    assert [place.epochs for place in left] == sorted((place.epochs for place in left), reverse=True)
    alive = len(scores)
    for number, step in enumerate(steps):
        here = [place for place in left if place.epochs >= step]
        assert len(here) == alive
        stay = [place for place in left if place.epochs > step]
        alive = 0 if number == len(steps) - 1 else -(-alive // halving.FACTOR)
        assert len(stay) == alive
        at = {place.trial: scores[place.trial][step - 1] for place in here}
        gone = [at[place.trial] for place in here if place.epochs == step]
        assert not stay or not gone or min(at[place.trial] for place in stay) >= max(gone)
    ranks = halving.ranks(left)
    assert min(ranks.values()) == 1 and ranks[left[0].trial] == 1


@given(st.integers(1, 300), st.integers(1, 200), st.integers(2, 5))
def test_rungs_ascend_to_the_full_length(epochs: int, trials: int, factor: int) -> None:
    steps = halving.rungs(epochs, trials, factor)
    assert steps[-1] == epochs and steps[0] >= 1
    assert all(b > a for a, b in pairwise(steps))
    for _ in steps[1:]:
        trials = -(-trials // factor)
    assert trials <= factor or steps[0] <= factor  # enough rungs, unless there are no epochs for more


def test_a_trial_that_cannot_run_is_last_and_all_failing_end_it() -> None:
    scores = {"a": 0.1, "b": halving.FAILED, "c": 0.3, "d": 0.2}
    state = halving.init(tuple(scores), (1, 3))
    for trial, score in scores.items():
        state = halving.tell(state, trial, score)
    assert halving.ask(state) == (3, ("c", "d"))
    assert [place.trial for place in state.left] == ["a", "b"]
    state = halving.init(("a", "b"), (1, 3))
    for trial in "ab":
        state = halving.tell(state, trial, halving.FAILED)
    assert state.done and [place.epochs for place in state.left] == [1, 1]


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InvalidInput, match="different trials"):
        halving.init(("a", "a"), (1,))
    with pytest.raises(InvalidInput, match="ascending"):
        halving.init(("a",), (2, 2))
    with pytest.raises(InvalidInput, match="not waited for"):
        halving.tell(halving.init(("a",), (2,)), "b", 0.1)
    with pytest.raises(InvalidInput, match="at least 1 epoch"):
        halving.rungs(0, 3)


def curve(a: float, b: float, c: float, epochs: int) -> np.ndarray:
    return a - b * np.arange(1, epochs + 1.0) ** -c


@given(st.floats(0.3, 0.95), st.floats(0.02, 0.3), st.floats(0.2, 3.0))
def test_a_curve_of_the_family_is_extrapolated_to_its_end(a: float, b: float, c: float) -> None:
    whole = curve(a, b, c, 30)
    assert learning_curve.extrapolate(whole[:15], 30, noise=1e-4).mean == pytest.approx(whole[-1], abs=0.003)


def test_trials_that_would_become_the_best_are_rarely_stopped_and_hopeless_ones_mostly() -> None:
    rng = np.random.default_rng(0)
    stopped = {"better": 0, "worse": 0}
    for _ in range(200):
        whole = curve(rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.4), rng.uniform(0.3, 1.5), 30)
        seen = whole + rng.normal(0, 0.01, 30)
        for name, best in (("better", whole[-1] - 0.01), ("worse", whole[-1] + 0.08)):
            stopped[name] += any(
                learning_curve.unlikely_to_improve(seen[:known], 30, best, noise=0.01) for known in range(4, 16)
            )
    assert stopped["better"] <= 200 * 0.15  # twelve looks, each with a chance of 5 % at most
    assert stopped["worse"] >= 200 * 0.8


def test_short_and_finished_curves_are_never_stopped() -> None:
    assert not learning_curve.unlikely_to_improve([0.1] * (learning_curve.MIN_EPOCHS - 1), 30, 0.9)
    assert not learning_curve.unlikely_to_improve([0.1] * 30, 30, 0.9)
    assert learning_curve.unlikely_to_improve([0.1] * 12, 30, 0.9)
    assert not learning_curve.unlikely_to_improve([0.1] * 12, 30, 0.1)
