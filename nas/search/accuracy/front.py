"""Search for a whole front with one accuracy model: networks near every latency budget, and one regression on all.

It is the search of nas/search/accuracy/search.py but for two choices: what the model proposes, and what goes on to the
next rung or is trained again, is the best for each budget in turn, not the best of all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Genotype, Genotypes
from nas.search.accuracy.plan import cost_s
from nas.search.accuracy.search import POOL, FeasibleSet, Judged, ModelSearch, Schedule, State, as_tuples
from nas.search.trials import first_new

Keeps = Callable[[Genotypes], NDArray[np.bool_]]  # [N, D] -> [N, B]: which networks keep which budget
NETWORKS = 4  # per budget, at least as many as these are trained where no time is stated


def in_turn(orders: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the distinct numbers in `orders`: the first of each, then the second of each, and so on."""
    seen: set[int] = set()
    for numbers in zip_longest(*orders):
        for number in numbers:
            if number is not None and number not in seen:
                seen.add(number)
                yield number


@dataclass(frozen=True)
class Bands:
    """The feasible sets near the budgets as one, from all of which a draw takes alike."""

    sets: tuple[FeasibleSet, ...]

    def draw_each(self, rng: np.random.Generator, count: int) -> list[Genotypes]:
        """Return up to `count` networks [N, D] in all, those near each budget by themselves."""
        return [one.draw(rng, -(-count // len(self.sets))) for one in self.sets]

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return up to `count` networks [N, D], of each budget in turn."""
        parts = self.draw_each(rng, count)
        starts = np.cumsum([0, *map(len, parts)])
        rows = list(in_turn([range(a, b) for a, b in pairwise(starts)]))
        return np.concatenate(parts)[rows][:count]


@dataclass(frozen=True)
class FrontModelSearch(ModelSearch):
    """Multi-fidelity search with an accuracy model for the best network of each of several latency budgets."""

    bands: Bands = field(kw_only=True)  # the feasible set by budget; `feasible` is the same
    keeps: Keeps = field(kw_only=True)

    def _by_model(self, state: State, found: Judged, seen: set[bytes], count: int) -> tuple[Genotype, ...]:
        """Return the genotypes of the highest predictions near each budget in turn; adds to `seen`."""
        done = len(state.results)
        parts = self.bands.draw_each(np.random.default_rng([state.seed, done, 1]), POOL)
        pool, starts = np.concatenate(parts), np.cumsum([0, *map(len, parts)])
        mean = found.prediction.predict(found.described(pool))[0]
        orders = [a + np.argsort(-mean[a:b], kind="stable") for a, b in pairwise(starts)]
        shift = done % len(orders)  # a batch may have fewer networks than there are budgets
        rows = list(in_turn([order.tolist() for order in (*orders[shift:], *orders[:shift])]))
        return as_tuples(first_new(pool[rows], seen, count - self._random_count(state, count)))

    def _best(self, state: State, epochs: int, count: int) -> list[Genotype]:
        """Return the best networks of each budget in turn, of those trained to `epochs` without failure."""
        found = self._judged(state)
        if found is None:
            return []
        genotypes, order = found.labels.genotypes, np.argsort(-found.posterior.mean, kind="stable")
        reached = [int(i) for i in order if found.labels.epochs[i] >= epochs]
        kept = self.keeps(np.array(genotypes, np.int32))
        rows = in_turn([[i for i in reached if kept[i, budget]] for budget in range(kept.shape[1])])
        return [genotypes[i] for i, _ in zip(rows, range(count), strict=False)]


def front_schedule(base: Schedule, budgets: int) -> Schedule:
    """Return the schedule for a front of so many budgets: enough networks near each, each answer trained again."""
    candidates = max(base.candidates, NETWORKS * budgets)
    return replace(
        base, candidates=candidates, start=max(base.start, candidates // 2), batch=max(1, budgets), finalists=budgets,
        repeats=min(1, base.repeats), factor=min(base.factor, max(2, candidates // budgets)),
    )  # fmt: skip


def planned_front(
    core_s: float, epoch_s: float, overhead_s: float, budgets: int, rungs: tuple[int, ...], once_s: float = 0.0
) -> Schedule:
    """Return the largest schedule for a front of at most `core_s` processor seconds; raises as `plan_trainings`.

    `once_s` of them are spent whatever the schedule.
    """
    best = None
    for candidates in range(budgets, 2048):
        start = max(1, candidates // 2)
        schedule = Schedule(candidates, start, budgets, rungs, finalists=budgets, repeats=1)
        if once_s + cost_s(schedule, epoch_s, overhead_s) > core_s:
            break
        best = schedule
    if best is None:
        fewest = Schedule(budgets, budgets, budgets, rungs, finalists=budgets, repeats=1)
        least = once_s + cost_s(fewest, epoch_s, overhead_s)
        raise InvalidInput(
            f"a front of {budgets} points needs at least {least / 3600:.2g} core hours, got {core_s / 3600:.2g}; give "
            "more hours or fewer points"
        )
    return best
