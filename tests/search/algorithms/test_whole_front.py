"""Algorithms in their form for a whole front: weightings, determinism, and a better front than random search finds."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.protocols import Decision
from nas.search.algorithms.gaussian_process import GaussianProcess
from nas.search.algorithms.hybrid import Hybrid
from nas.search.algorithms.nsga2 import NSGA2
from nas.search.algorithms.random_search import RandomSearch
from nas.search.algorithms.regularized_evolution import RegularizedEvolution
from nas.search.algorithms.swarm import Swarm
from nas.search.algorithms.whole_front import FrontHybrid, scaled, weighted, weightings, whole_front
from nas.search.constraints.bounds import Bounded
from nas.search.pareto import hypervolume
from nas.search.trials import from_json, to_json

DECISIONS = tuple(Decision(f"d{i}", tuple(range(5))) for i in range(8))


class Free:
    """A space without bounds; `Bounded` asks nothing else of it."""

    name, decisions = "free", DECISIONS


PROPOSER = Bounded(Free())  # type: ignore[arg-type]


def objectives(genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return an error that falls with half of the decisions, and two costs that rise over three orders of magnitude."""
    x = genotypes / 4
    error = 1 - x[:, :4].mean(1) * (1 - 0.3 * np.abs(x[:, 4:] - 0.5).mean(1))
    return np.column_stack([error, 10 ** (3 * x[:, :3].mean(1)), 10 ** (3 * x[:, 1:6].mean(1))])


def played(algorithm: Any, trials: int = 48, ask: int = 8, seed: int = 0) -> Any:
    state = algorithm.init(seed)
    for _ in range(trials // ask):
        asked = algorithm.ask(state, ask)
        assert len({tuple(row) for row in asked.tolist()}) == ask
        state = algorithm.tell(state, asked, objectives(asked))
    return state


def volume(state: Any) -> float:
    values = state.objectives.copy()
    values[:, 1:] = np.log10(values[:, 1:]) / 3
    return hypervolume(values, (1.0, 1.0, 1.0))


def test_objectives_are_scaled_to_their_ranges_costs_by_their_logarithms() -> None:
    values = np.array([[0.5, 1.0, 0.0], [0.1, 100.0, 5.0], [0.3, 10.0, 10.0]])
    assert scaled(values) == pytest.approx(np.array([[1, 0, 0], [0, 1, 0.5], [0.5, 0.5, 1]]))
    assert (scaled(np.ones((3, 2))) == 0).all()


def test_every_point_of_a_front_is_best_by_some_weighting_and_no_other_point_is() -> None:
    points = np.array([[0.0, 9.0], [0.3, 6.0], [0.6, 3.0], [1.0, 1.0], [0.7, 8.0], [0.3, 7.0]])
    chosen = weighted(points, weightings(np.random.default_rng(0), 200, 2)).argmin(1)
    assert set(chosen.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", [GaussianProcess, RegularizedEvolution, Swarm, Hybrid])
def test_a_front_form_repeats_itself_and_survives_its_json_form(kind: Any) -> None:
    algorithm = whole_front(kind(PROPOSER))
    one, other = played(algorithm, 24), played(algorithm, 24)
    assert to_json(one) == to_json(other) and to_json(played(algorithm, 24, seed=1)) != to_json(one)
    again = from_json(algorithm.init(0), to_json(one))
    np.testing.assert_array_equal(algorithm.ask(again, 6), algorithm.ask(one, 6))


def test_the_hybrid_finds_more_of_a_front_of_three_objectives_than_random_search() -> None:
    found = {
        kind: np.mean([volume(played(whole_front(kind(PROPOSER)), trials=96, seed=seed)) for seed in range(2)])
        for kind in (Hybrid, RandomSearch)
    }
    assert found[Hybrid] > 1.03 * found[RandomSearch]


def test_algorithms_of_several_objectives_stay_as_they_are() -> None:
    for algorithm in (NSGA2(PROPOSER), RandomSearch(PROPOSER)):
        assert whole_front(algorithm) is algorithm
    assert isinstance(whole_front(Hybrid(PROPOSER)), FrontHybrid)
