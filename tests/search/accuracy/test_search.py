"""Search with an accuracy model: any portions of results give one state; without evidence it is random search."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.search.accuracy.model import RANDOM
from nas.search.accuracy.search import ModelSearch, Schedule, State

SCHEDULE = Schedule(candidates=14, start=6, batch=4, rungs=(1, 3), finalists=3, repeats=2)
SIZES = np.array([4, 4, 4, 3])


@dataclass(frozen=True)
class Everything:
    """All genotypes of four decisions, in random order."""

    def draw(self, rng: np.random.Generator, count: int) -> Any:
        grid = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), -1).reshape(-1, 4)
        return rng.permutation(grid).astype(np.int32)[:count]


def features(genotypes: Any) -> Any:
    return np.asarray(genotypes, np.float64)


def accuracy(training: Any, slope: float = 0.02, noise: float = 0.005) -> float:
    rng = np.random.default_rng([*training.genotype, training.seed])
    return 0.5 + slope * sum(training.genotype) + 0.05 * training.epochs + noise * float(rng.standard_normal())


SEARCH = ModelSearch(Everything(), features, SCHEDULE)


def run(search: ModelSearch, seed: int, portion: int = 1000, **truth: float) -> State:
    state = search.init(seed)
    while asked := search.ask(state):
        asked = asked[:portion]
        state = search.tell(state, asked, [accuracy(training, **truth) for training in asked])
    return state


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), portion=st.integers(1, 9))
def test_results_in_any_portions_give_the_same_state(seed: int, portion: int) -> None:
    whole, parts = run(SEARCH, seed), run(SEARCH, seed, portion)
    assert whole.results == parts.results
    assert SEARCH.answer(whole) == SEARCH.answer(parts)
    assert SEARCH.evidence(whole) == SEARCH.evidence(parts)


def test_the_number_of_epochs_is_that_of_the_schedule() -> None:
    reached: dict[tuple[Any, int], int] = {}
    for training, _ in run(SEARCH, 3).results:
        reached[training.genotype, training.seed] = training.epochs
    assert sum(reached.values()) == SCHEDULE.epochs
    assert len({genotype for genotype, _ in reached}) == SCHEDULE.candidates


def test_a_clear_signal_is_trusted_and_followed() -> None:
    state = run(SEARCH, 0)
    assert SEARCH.evidence(state).trusted
    assert sum(one.by_model for one in state.rounds) >= 5
    assert sum(SEARCH.answer(state).genotype) >= 8  # of at most 11


def test_random_search_never_asks_the_model() -> None:
    search = replace(SEARCH, model=RANDOM)
    state = run(search, 0)
    assert not any(one.by_model for one in state.rounds) and not search.evidence(state).trusted


def test_failed_trainings_are_left_out() -> None:
    state = SEARCH.init(0)
    while asked := SEARCH.ask(state):
        bad = [i % 3 == 0 for i in range(len(asked))]
        state = SEARCH.tell(state, asked, [float("nan") if b else accuracy(t) for b, t in zip(bad, asked, strict=True)])
    assert np.isfinite(SEARCH.answer(state).mean)


def test_where_all_trainings_fail_there_is_no_answer() -> None:
    state = SEARCH.init(0)
    while asked := SEARCH.ask(state):
        state = SEARCH.tell(state, asked, [float("nan")] * len(asked))
    with pytest.raises(InvalidInput, match="no training"):
        SEARCH.answer(state)


def test_results_out_of_order_are_refused() -> None:
    state = SEARCH.init(0)
    with pytest.raises(InvalidInput, match="order asked"):
        SEARCH.tell(state, SEARCH.ask(state)[1:2], [0.5])
