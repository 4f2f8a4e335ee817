"""The contract of every search algorithm in the registry, and for each what its paper says that it does."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision, Genotypes
from nas.registry import ALGORITHMS, load
from nas.search.algorithms.gaussian_process import GaussianProcess, expected_improvement
from nas.search.algorithms.hybrid import Hybrid
from nas.search.algorithms.local_search import LocalSearch
from nas.search.algorithms.nsga2 import NSGA2
from nas.search.algorithms.regularized_evolution import RegularizedEvolution
from nas.search.algorithms.swarm import Swarm
from nas.search.constraints.bounds import Bounded
from nas.search.pareto import non_dominated
from nas.search.strategy import strategy
from nas.search.trials import from_json, mutated, to_json
from nas.space.cost_table import MACS, PARAMS, compile_table
from nas.space.genotypes import canonical, keys
from tests.support.tabular import Tabular, free
from tests.support.tiny import SPACE as TINY

BATCH = 8
TELLS = 16  # so that populations of 100 are full before the end
MACS_TABLE, PARAMS_TABLE = compile_table(TINY, MACS), compile_table(TINY, PARAMS)


def half_way(table: Any) -> float:
    """A bound that a quarter of the space keeps, or so."""
    return float(np.quantile(table.score(TINY.sample(np.random.default_rng(0), 2000)), 0.25))


PROPOSERS = {
    "free": Bounded(TINY),
    "bounded": Bounded(TINY, ((MACS_TABLE, half_way(MACS_TABLE)), (PARAMS_TABLE, 2 * half_way(PARAMS_TABLE)))),
}
NAMES = [name for name in ALGORITHMS if not strategy(name).projects]  # those that are built from a proposer
CASES = [(name, where) for name in NAMES for where in PROPOSERS]
each_case = pytest.mark.parametrize(("name", "where"), CASES, ids=lambda part: part)


def build(name: str, where: str) -> Any:
    return load("algorithm", ALGORITHMS, name)(PROPOSERS[where])


def objectives(genotypes: Genotypes) -> NDArray[np.float64]:
    """A made-up error with interactions, and the MACs."""
    error = np.sin(genotypes * (1 + np.arange(genotypes.shape[1]))).sum(1) + 0.1 * genotypes[:, 0] * genotypes[:, -1]
    return np.stack([error, MACS_TABLE.score(genotypes) / 1e6], axis=1)


@cache
def played(name: str, where: str, seed: int = 3) -> tuple[Any, ...]:
    """The states of one search, before the first tell and after each."""
    algorithm = build(name, where)
    states = [algorithm.init(seed)]
    for _ in range(TELLS):
        genotypes = algorithm.ask(states[-1], BATCH)
        states.append(algorithm.tell(states[-1], genotypes, objectives(genotypes)))
    return tuple(states)


def text(state: Any) -> str:
    return json.dumps(to_json(state), allow_nan=False)


# --------------------------------------------------------------------------------------------------------- the contract


@each_case
def test_ask_is_a_function_of_the_state_and_changes_nothing(name: str, where: str) -> None:
    for state in (played(name, where)[0], played(name, where)[2], played(name, where)[-1]):
        before = text(state)
        first = build(name, where).ask(state, BATCH)
        other = build(name, where)
        other.ask(state, 3)  # what another worker asks in between does not matter
        assert (other.ask(state, BATCH) == first).all()
        assert text(state) == before


@each_case
def test_a_state_survives_json(name: str, where: str) -> None:
    algorithm, state = build(name, where), played(name, where)[-1]
    back = from_json(algorithm.init(0), json.loads(text(state)))
    assert text(back) == text(state)
    assert (algorithm.ask(back, BATCH) == algorithm.ask(state, BATCH)).all()
    asked = algorithm.ask(state, BATCH)
    assert text(algorithm.tell(back, asked, objectives(asked))) == text(algorithm.tell(state, asked, objectives(asked)))


@each_case
def test_replaying_the_trials_restores_the_state(name: str, where: str) -> None:
    algorithm, last = build(name, where), played(name, where)[-1]
    state = algorithm.init(3)
    for at in range(0, len(last), BATCH):
        state = algorithm.tell(state, last.genotypes[at : at + BATCH], last.objectives[at : at + BATCH])
    assert text(state) == text(last)


@each_case
def test_proposals_are_distinct_canonical_and_inside_the_bounds(name: str, where: str) -> None:
    genotypes = played(name, where)[-1].genotypes
    assert genotypes.shape == (BATCH * TELLS, len(TINY.decisions))
    assert genotypes.dtype == np.int32
    assert len(set(keys(genotypes))) == len(genotypes)
    assert (canonical(TINY.decisions, genotypes) == genotypes).all()
    assert ((genotypes >= 0) & (genotypes < [len(d.options) for d in TINY.decisions])).all()
    for table, bound in PROPOSERS[where].limits:
        assert (table.score(genotypes) <= bound).all()


@pytest.mark.parametrize("name", NAMES)
def test_seeds_decide_what_is_asked(name: str) -> None:
    algorithm = build(name, "free")
    assert text(played(name, "free", 3)[-1]) != text(played(name, "free", 4)[-1]).replace('"seed": 4', '"seed": 3')
    assert (algorithm.ask(algorithm.init(5), 9) == algorithm.ask(algorithm.init(5), 9)).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_small_space_is_seen_whole_and_then_again(name: str) -> None:
    space = Tabular((Decision("a", (0, 1)), Decision("b", (0, 1, 2), (0, 1)), Decision("c", (0, 1, 2, 3))))
    algorithm = load("algorithm", ALGORITHMS, name)(Bounded(space))
    state = algorithm.init(0)
    for _ in range(6):
        genotypes = algorithm.ask(state, 4)
        assert genotypes.shape == (4, 3)
        state = algorithm.tell(state, genotypes, genotypes[:, 2:].astype(float))
    assert len(set(keys(state.genotypes[:16]))) == 16
    assert set(keys(state.genotypes)) == set(keys(canonical(space.decisions, space.grid())))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [[[np.nan], [0.0]], [[np.inf], [0.0]], [[0.0]], [0.0, 1.0]])
def test_objectives_that_cannot_be_used_are_refused(name: str, values: list[Any]) -> None:
    algorithm = build(name, "free")
    state = algorithm.init(0)
    with pytest.raises(InvalidInput, match=r"objectives must be finite and \[2"):
        algorithm.tell(state, algorithm.ask(state, 2), np.array(values))


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_seed_and_a_foreign_state_are_refused(name: str) -> None:
    algorithm = build(name, "free")
    with pytest.raises(InvalidInput, match="seed"):
        algorithm.init(-1)
    with pytest.raises(InvalidInput, match="no stored state"):
        from_json(algorithm.init(0), {"seed": 1})


def searched(algorithm: Any, space: Tabular, table: Any, tells: int, batch: int) -> Any:
    """The state after a search of `table` over `space`."""
    state = algorithm.init(0)
    for _ in range(tells):
        genotypes = algorithm.ask(state, batch)
        state = algorithm.tell(state, genotypes, table.score(genotypes)[:, None])
    return state


# -------------------------------------------------------------------------------------------------- one by one: mutants


def test_a_mutant_differs_in_one_active_decision_and_what_hangs_on_it() -> None:
    space = Tabular((Decision("a", (0, 1, 2)), Decision("b", (0, 1, 2), (0, 1)), Decision("c", (0, 1))))
    rng = np.random.default_rng(0)
    parents = canonical(space.decisions, np.repeat(space.grid(), 40, axis=0))
    children = mutated(space.decisions, parents, rng)
    changed = children != parents
    assert changed.any(1).all()
    assert (changed.sum(1) - (changed[:, 0] & changed[:, 1])).max() == 1
    assert (children[changed.sum(1) == 2, 0] == 0).all()
    assert (canonical(space.decisions, children) == children).all()


# ------------------------------------------------------------------------------------------------------ aging evolution


def test_the_oldest_dies_however_good() -> None:
    space = free(*[5] * 6)
    algorithm = RegularizedEvolution(Bounded(space), population=4, sample=4)
    state = algorithm.init(0)
    rows = np.array([[0] * 6, [1] * 6, [2] * 6, [3] * 6, [4] * 6], np.int32)
    state = algorithm.tell(state, rows[:4], np.array([[0.0], [3.0], [1.0], [2.0]]))
    assert ((algorithm.ask(state, 5) != rows[0]).sum(1) == 1).all()
    state = algorithm.tell(state, rows[4:], np.array([[9.0]]))  # the best of all is the fifth last now
    assert ((algorithm.ask(state, 5) != rows[2]).sum(1) == 1).all()


# --------------------------------------------------------------------------------------------------------- local search


def test_a_climb_ends_at_the_optimum_of_a_separable_table_and_another_begins() -> None:
    space = free(4, 4, 4, 4)
    table = space.table({(i,): [2, 0, 1, 3] for i in range(4)})
    algorithm = LocalSearch(Bounded(space))
    state, stood = algorithm.init(0), []
    for _ in range(24):
        genotypes = algorithm.ask(state, 4)
        state = algorithm.tell(state, genotypes, table.score(genotypes)[:, None])
        stood.append(state.at)
    errors = [float(state.errors[at]) for at in stood if at >= 0]
    assert 0.0 in errors
    first = stood.index(-1)
    climb = [float(state.errors[at]) for at in stood[:first]]
    assert climb == sorted(climb, reverse=True)
    assert climb[-1] == 0.0


# -------------------------------------------------------------------------------------------------------------- NSGA-II


def test_the_population_keeps_the_front() -> None:
    state = played("nsga2", "free")[-1]
    front = np.flatnonzero(non_dominated(state.objectives, (True, True)))
    assert len(state.population) == 100
    assert set(front) <= set(state.population.tolist())


def test_the_feasible_come_first_and_then_the_smaller_violation() -> None:
    algorithm = NSGA2(Bounded(free(10, 10)), population=3, limits=(np.inf, 2.0))
    rows = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]], np.int32)
    values = np.array([[0.0, 9.0], [5.0, 2.0], [0.0, 3.0], [6.0, 2.0], [1.0, 4.0]])
    state = algorithm.tell(algorithm.init(0), rows, values)
    assert state.population.tolist() == [1, 2, 3]  # 1 dominates 3; 2 breaks the limit least


def test_nsga2_draws_near_the_front_of_two_opposed_objectives() -> None:
    space = free(*[11] * 8)
    algorithm = NSGA2(Bounded(space), population=40)
    state = algorithm.init(0)
    for _ in range(40):
        genotypes = algorithm.ask(state, 40)
        x, rest = genotypes[:, 0] / 10, genotypes[:, 1:].sum(1) / 70
        state = algorithm.tell(state, genotypes, np.stack([x, (1 + rest) * (1 - x) + rest], axis=1))
    front = state.genotypes[state.population][:11]
    assert set(state.genotypes[state.population][:, 0]) == set(range(11))
    assert (front[:, 1:].sum(1) <= 3).all()


# ---------------------------------------------------------------------------------------------------------------- swarm


def test_every_particle_moves_as_often_and_remembers_its_best() -> None:
    algorithm = Swarm(Bounded(free(*[30] * 5)), particles=6)
    state = algorithm.init(0)
    for _ in range(30):
        genotypes = algorithm.ask(state, 1)
        state = algorithm.tell(state, genotypes, genotypes.sum(1, keepdims=True).astype(float))
    assert np.ptp(state.moves) <= 1 and state.moves.sum() >= 30
    assert (state.best_error == np.rint(state.best).sum(1)).all()
    assert state.best_error.min() == state.errors.min()


def test_the_swarm_follows_results_of_others() -> None:
    algorithm = Swarm(Bounded(free(*[30] * 5)), particles=6)
    state = algorithm.init(0)
    asked = algorithm.ask(state, 6)
    constraints = np.full((1, 5), 29, np.int32)
    state = algorithm.tell(state, np.concatenate([constraints, asked]), np.array([[0.0], *[[1.0]] * 6]))
    assert (algorithm._genotypes(state) >= asked).all()
    assert (algorithm._genotypes(state) != asked).any()


# ----------------------------------------------------------------------------------------------------- Gaussian process


def test_expected_improvement_is_the_mean_over_the_normal_distribution() -> None:
    assert expected_improvement(np.zeros(1), np.ones(1))[0] == pytest.approx(1 / np.sqrt(2 * np.pi))
    assert expected_improvement(np.array([2.0, -2.0]), np.zeros(2)) == pytest.approx([2, 0])
    draws = np.random.default_rng(0).normal(0.3, 1.7, 400_000)
    found = expected_improvement(np.array([0.3]), np.array([1.7]))[0]
    assert found == pytest.approx(np.maximum(draws, 0).mean(), abs=0.01)


def test_the_process_finds_the_optimum_of_a_separable_table() -> None:
    space = free(*[5] * 6)  # 15,625 entries
    table = space.table({(i,): [3, 0, 1, 2, 4] for i in range(6)})
    state = searched(GaussianProcess(Bounded(space)), space, table, tells=20, batch=5)
    assert state.errors.min() == 0


# --------------------------------------------------------------------------------------------------------------- hybrid


def test_members_take_turns_and_know_all_trials() -> None:
    algorithm = Hybrid(PROPOSERS["free"])
    for state in (played("hybrid", "free")[4], played("hybrid", "free")[-1]):
        asked = algorithm.ask(state, 7)
        for member, (one, own) in enumerate(zip(algorithm.members, state.members, strict=True)):
            assert (own.genotypes == state.genotypes).all()
            turns = [i for i in range(7) if (len(state) + i) % 3 == member]
            expected = one.ask(own, len(turns))
            assert (asked[turns] == expected).all()
