"""NSGA-II (Deb et al. 2002), IEEE Transactions on Evolutionary Computation 6(2), doi 10.1109/4235.996017.

Sections of the paper are named at the functions here. Ours: options are integers, so simulated binary crossover (Deb
and Agrawal 1995) and polynomial mutation act on option indices. Crossover rounds to the nearest index, so that
decisions on which parents nearly agree stay; mutation moves by one index at least, or it would do nothing to short
lists of options. Nothing is evaluated twice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.pareto import crowding, ranks
from nas.search.trials import Trials, no_trials, proposals, with_results
from nas.space.genotypes import canonical


@dataclass(frozen=True)
class Nsga2State(Trials):
    """The trials, and the rows of the current population among them."""

    population: NDArray[np.int64]


@dataclass(frozen=True)
class NSGA2:
    """Minimises all objectives; `limits` are upper bounds on them [M], for costs without a table to bound them."""

    proposer: Proposer
    population: int = 100
    limits: tuple[float, ...] = ()
    crossover_rate: float = 0.9
    crossover_eta: float = 15.0  # the larger, the nearer children are to their parents
    mutation_eta: float = 20.0

    def init(self, seed: int) -> Nsga2State:
        """Return the state before the first tell."""
        return Nsga2State(**vars(no_trials(seed, self.proposer.decisions)), population=np.zeros(0, np.int64))

    def ask(self, state: Nsga2State, count: int) -> Genotypes:
        """Return `count` children of the population; samples of the space until there are as many trials as members."""
        rng = state.rng
        if len(state) < self.population:
            return proposals(self.proposer, state, state.genotypes[:0], count, rng=rng)
        children = self._children(state, 2 * count + 2, rng)  # half of them in reserve for repeats
        return proposals(self.proposer, state, children, count, rng=rng)

    def tell(self, state: Nsga2State, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Nsga2State:
        """Return the state in which the best of the population and the new trials survive (section III-C)."""
        after = with_results(state, genotypes, objectives)
        rows = np.concatenate([state.population, np.arange(len(state), len(after))])
        layer, distance = self._ranking(after.objectives[rows])
        order = np.lexsort((-distance, layer))
        return Nsga2State(**{**vars(after), "population": np.sort(rows[order[: self.population]])})

    def violation(self, objectives: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the relative excess of objectives [N, M] over the limits, summed, as [N]."""
        if not self.limits:
            return np.zeros(len(objectives))
        return np.asarray(np.maximum(objectives / np.asarray(self.limits) - 1, 0).sum(1))

    def _ranking(self, objectives: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return ranks and crowding distances [N]; infeasible ones rank last, by violation (section VI)."""
        excess = self.violation(objectives)
        kept = excess <= 0
        layer = np.zeros(len(objectives), np.intp)
        layer[kept] = ranks(objectives[kept], (True,) * objectives.shape[1])
        behind = layer[kept].max(initial=-1) + 1
        layer[~kept] = behind + np.unique(excess[~kept], return_inverse=True)[1]
        return layer, crowding(objectives, layer)

    def _children(self, state: Nsga2State, count: int, rng: np.random.Generator) -> Genotypes:
        """Return `count` canonical feasible children: binary tournaments, crossover, mutation, repair."""
        parents = state.genotypes[state.population]
        layer, distance = self._ranking(state.objectives[state.population])
        # Place of each parent when sorted by rank, then by crowding distance, ties at random: the smaller one wins.
        place = np.empty(len(parents), np.intp)
        place[np.lexsort((rng.random(len(parents)), -distance, layer))] = np.arange(len(parents))
        pairs = (count + 1) // 2
        # A pair of parents needs two tournaments of two. Whole permutations let all members compete equally often.
        entries = np.stack([rng.permutation(len(parents)) for _ in range(-(-4 * pairs // len(parents)))]).ravel()
        one, other = entries[: 4 * pairs].reshape(-1, 2).T
        winners = parents[np.where(place[one] < place[other], one, other)].reshape(2, pairs, -1)
        sizes = np.array([len(decision.options) for decision in self.proposer.decisions])
        crossed = self._crossover(winners.astype(np.float64), sizes, rng)
        changed = self._mutation(crossed, sizes, rng)
        return self.proposer.repaired(canonical(self.proposer.decisions, changed)[:count], rng)

    def _crossover(
        self, parents: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return children [2 pairs, D] of parents [2, pairs, D] by simulated binary crossover, rounded to indices."""
        shape = parents.shape[1:]
        # The children of a decision are the parents' mean plus and minus `spread` times half their difference; spread
        # is distributed about 1 so that children are as near to their parents as those of one-point binary crossover.
        u, power = rng.random(shape), 1 / (self.crossover_eta + 1)
        spread = np.where(u <= 0.5, 2 * u, 1 / (2 * (1 - u))) ** power
        crossing = (rng.random(shape) < 0.5) & (rng.random((shape[0], 1)) < self.crossover_rate)
        swapped = np.where(rng.random(shape) < 0.5, spread, -spread)  # which child is near which parent
        middle, half = parents.mean(0), (parents[0] - parents[1]) / 2
        half = np.where(crossing, swapped, 1.0) * half
        children = np.concatenate([middle + half, middle - half])
        return np.clip(np.rint(children), 0, sizes - 1)

    def _mutation(
        self, genotypes: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Return genotypes [N, D] after polynomial mutation: each decision with probability 1 / D, by 1 or more."""
        shape = genotypes.shape
        u, power = rng.random(shape), 1 / (self.mutation_eta + 1)
        delta = np.where(u < 0.5, (2 * u) ** power - 1, 1 - (2 * (1 - u)) ** power)
        step = delta * (sizes - 1)  # delta in [-1, 1] is relative to the range; fractions are rounded up at random
        step = np.sign(step) * np.maximum(1, np.floor(np.abs(step) + rng.random(shape)))
        mutating = rng.random(shape) < 1 / shape[1]
        return np.clip(np.where(mutating, genotypes + step, genotypes), 0, sizes - 1).astype(np.int32)
