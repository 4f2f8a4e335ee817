"""Local search (White, Nolen, Savani 2021), arXiv 2005.02960, algorithm 1: hill climbing over whole neighbourhoods.

Evaluate all neighbours (one decision changed) of the best architecture of this climb, move to the best of them, until
none is better; then start again at a random one. Ours: neighbours outside the bounds are left out, and a neighbour that
an earlier climb evaluated is not evaluated again.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, first_new, no_trials, proposals, with_results
from nas.space.genotypes import canonical, keys


@dataclass(frozen=True)
class LocalSearchState(Trials):
    """The trials, and the row `at` of the one where the climb stands; -1 before a climb."""

    at: int


@dataclass(frozen=True)
class LocalSearch:
    """Minimises the first objective by hill climbing with random restarts."""

    proposer: Proposer

    def init(self, seed: int) -> LocalSearchState:
        """Return the state before the first tell."""
        return LocalSearchState(**vars(no_trials(seed, self.proposer.decisions)), at=-1)

    def ask(self, state: LocalSearchState, count: int) -> Genotypes:
        """Return new neighbours in random order, then random architectures, which are starts of later climbs."""
        near = state.genotypes[:0] if state.at < 0 else self._neighbours(state.genotypes[state.at])
        rng = state.rng
        return proposals(self.proposer, state, rng.permutation(near), count, rng=rng)

    def tell(self, state: LocalSearchState, genotypes: Genotypes, objectives: NDArray[np.float64]) -> LocalSearchState:
        """Return the state with these trials; once all neighbours are known, after the climb's next move."""
        after = with_results(state, genotypes, objectives)
        if not len(genotypes):
            return after
        fresh = len(state) + int(after.errors[len(state) :].argmin())
        if after.at < 0:  # a new climb starts at the best of these trials
            return replace(after, at=fresh)
        known = {key: i for i, key in enumerate(keys(after.genotypes))}
        near = [known.get(key) for key in keys(self._neighbours(after.genotypes[after.at]))]
        rows = [row for row in near if row is not None]
        if len(rows) < len(near):
            return after
        # Move to the best neighbour if it is better; else this is a local minimum and the climb ends.
        best = min(rows, key=lambda row: (float(after.errors[row]), row), default=after.at)
        return replace(after, at=best if after.errors[best] < after.errors[after.at] else -1)

    def _neighbours(self, genotype: NDArray[np.int32]) -> Genotypes:
        """Return the canonical genotypes [N, D] inside the bounds that differ in one active decision."""
        sizes = [len(decision.options) for decision in self.proposer.decisions]
        # One row per decision and option; what becomes the genotype itself or equal in canonical form is dropped below.
        changing = np.repeat(np.arange(len(sizes)), sizes)
        changed = np.tile(genotype, (len(changing), 1))
        changed[np.arange(len(changing)), changing] = np.concatenate([np.arange(size) for size in sizes])
        near = canonical(self.proposer.decisions, changed)
        return first_new(near[self.proposer.feasible(near)], set(keys(genotype[None])), len(near))
