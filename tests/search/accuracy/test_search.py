"""Search with an accuracy model: any portions of results give one state; without evidence it is random search."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor

from nas.errors import InvalidInput, UnknownName
from nas.search.accuracy.features import FeatureTables, FeatureTerm
from nas.search.accuracy.model import RANDOM, accuracy_model, as_accuracy_model
from nas.search.accuracy.plan import cost_s, plan_trainings, schedule_of
from nas.search.accuracy.search import ModelSearch, Schedule, State
from nas.search.accuracy.table import minimum_within

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


def test_the_best_of_the_whole_set_is_tried_where_the_set_can_tell_it() -> None:
    @dataclass(frozen=True)
    class Known(Everything):
        def draw(self, rng: np.random.Generator, count: int) -> Any:
            return super().draw(rng, 1000)[: min(count, 24)]  # a sample that rarely holds the best

        def best(self, table: Any) -> Any:
            found = minimum_within(table, [])
            return found and found.genotype

    terms = tuple(FeatureTerm((d,), np.arange(size)[:, None] * np.eye(4)[d]) for d, size in enumerate(SIZES.tolist()))
    search = replace(SEARCH, feasible=Known(), features=FeatureTables(tuple("abcd"), terms, tuple(SIZES.tolist())))
    state = run(search, 0, noise=0.0)
    assert (3, 3, 3, 2) in {result.training.genotype for result in state.results}


@settings(max_examples=20, deadline=None)
@given(core_s=st.floats(200, 20_000), epoch_s=st.floats(1, 20), overhead_s=st.floats(0, 25), epochs=st.integers(1, 9))
def test_a_plan_keeps_its_seconds(core_s: float, epoch_s: float, overhead_s: float, epochs: int) -> None:
    try:
        schedule = plan_trainings(core_s, epoch_s, overhead_s, epochs)
    except InvalidInput:
        assert cost_s(schedule_of(3, epochs), epoch_s, overhead_s) > core_s
        return
    assert cost_s(schedule, epoch_s, overhead_s) <= core_s
    assert schedule.rungs[-1] == epochs


@pytest.mark.parametrize("name", ["ridge", "random", "sklearn.ensemble:ExtraTreesRegressor"])
def test_every_accuracy_model_searches(name: str) -> None:
    model = accuracy_model(name)
    if name.startswith("sklearn"):
        model = as_accuracy_model(ExtraTreesRegressor(n_estimators=5, random_state=0))
    search = replace(SEARCH, model=model, schedule=replace(SCHEDULE, candidates=8))
    assert search.answer(run(search, 1)) == search.answer(run(search, 1))


def test_what_is_no_accuracy_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be a regressor"):
        accuracy_model("math:pi")
    with pytest.raises(UnknownName, match="ridge"):
        accuracy_model("rigde")
