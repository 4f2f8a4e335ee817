"""The search for a front with an accuracy model: each budget in turn, and what a schedule costs."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.protocols import Genotypes
from nas.search.accuracy.front import Bands, FrontModelSearch, front_schedule, in_turn, planned_front
from nas.search.accuracy.plan import cost_s
from nas.search.accuracy.search import Schedule

BUDGETS = (10, 20, 40)  # bounds on the sum of a genotype


class Sums:
    """The genotypes of three numbers up to 15 whose sum is in a range."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return up to `count` distinct ones."""
        rows = rng.integers(0, 16, (4000, 3)).astype(np.int32)
        rows = rows[(rows.sum(1) >= self.least) & (rows.sum(1) <= self.most)]
        return np.unique(rows, axis=0)[rng.permutation(len(np.unique(rows, axis=0)))[:count]]


@given(st.lists(st.lists(st.integers(0, 9), unique=True), max_size=5))
def test_in_turn_takes_each_number_once_and_the_first_ones_first(orders: Sequence[Sequence[int]]) -> None:
    taken = list(in_turn(orders))
    assert sorted(taken) == sorted({number for order in orders for number in order})
    firsts = list(dict.fromkeys(order[0] for order in orders if order))
    assert taken[: len(firsts)] == firsts


def search(**changes: int) -> FrontModelSearch:
    """Return a search over three budgets whose features are the numbers."""
    bands = Bands((Sums(8, 10), Sums(17, 20), Sums(35, 40)))
    schedule = Schedule(12, 6, 3, (1, 2), 2, finalists=3, repeats=1)
    return FrontModelSearch(
        bands, lambda genotypes: genotypes.astype(float), schedule, bands=bands,
        keeps=lambda genotypes: genotypes.sum(1)[:, None] <= np.array(BUDGETS),
    )  # fmt: skip


def test_every_budget_gets_networks_and_its_best_is_trained_longest_and_twice() -> None:
    algorithm = search()
    state = algorithm.init(0)
    top1 = lambda one: 0.5 + 0.01 * one.genotype[0] + 0.001 * sum(one.genotype) + 0.001 * one.epochs  # noqa: E731
    while asked := algorithm.ask(state):
        state = algorithm.tell(state, asked, [top1(one) for one in asked])
    ranking = algorithm.ranking(state)
    sums = np.array([sum(one.genotype) for one in ranking])
    assert all(((sums <= budget) & (sums >= 0.8 * budget)).any() for budget in BUDGETS)
    for budget in BUDGETS:
        kept = [one for one in ranking if sum(one.genotype) <= budget]
        best = max(kept, key=lambda one: one.mean)
        assert (best.epochs, best.seeds) == (2, 2)
    assert sum(round_.by_model for round_ in state.rounds) > 0  # the accuracies are linear in the features


@given(st.floats(100, 1e6), st.integers(2, 30))
def test_a_schedule_of_a_front_costs_no_more_than_it_may(core_s: float, budgets: int) -> None:
    least = cost_s(Schedule(budgets, budgets, budgets, (1, 3), finalists=budgets, repeats=1), 10.0, 20.0)
    if core_s < least:
        with pytest.raises(InvalidInput, match=f"a front of {budgets} points needs at least"):
            planned_front(core_s, 10.0, 20.0, budgets, (1, 3))
        return
    schedule = planned_front(core_s, 10.0, 20.0, budgets, (1, 3))
    assert cost_s(schedule, 10.0, 20.0) <= core_s and schedule.candidates >= schedule.finalists == budgets


@pytest.mark.parametrize("budgets", [2, 8, 24])
def test_without_a_time_every_budget_has_several_networks(budgets: int) -> None:
    schedule = front_schedule(Schedule(), budgets)
    assert schedule.candidates >= 4 * budgets and schedule.survivors[-1] >= budgets == schedule.finalists
