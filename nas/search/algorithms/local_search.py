"""Local search (White, Nolen, Savani 2021), arXiv 2005.02960, algorithm 1: hill climbing over whole neighbourhoods.

Evaluate all neighbours of the best architecture of this climb (one decision changed), move to the best of them, until
none is better; then begin again at a random one. Ours: neighbours outside the bounds are left out, and a neighbour
that an earlier climb evaluated is not evaluated again.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, first_new, keys, no_trials, proposals, with_results
from nas.space.genotypes import canonical


@dataclass(frozen=True)
class LocalSearchState(Trials):
    """The trials and which of them the climb stands on; -1 before a climb."""

    at: int


@dataclass(frozen=True)
class LocalSearch:
    """Minimises the first objective."""

    proposer: Proposer

    def init(self, seed: int) -> LocalSearchState:
        """Return the state before the first tell."""
        return LocalSearchState(**vars(no_trials(seed, self.proposer.decisions)), at=-1)

    def ask(self, state: LocalSearchState, count: int) -> Genotypes:
        """Return neighbours in random order, then random architectures; these are the starts of later climbs."""
        near = state.genotypes[:0] if state.at < 0 else self._neighbours(state.genotypes[state.at])
        rng = state.rng
        return proposals(self.proposer, state, rng.permutation(near), count, rng=rng)

    def tell(self, state: LocalSearchState, genotypes: Genotypes, objectives: NDArray[np.float64]) -> LocalSearchState:
        """Return the state after the climb's next move, where all neighbours are known."""
        after = with_results(state, genotypes, objectives)
        if not len(genotypes):
            return after
        fresh = len(state) + int(after.errors[len(state) :].argmin())
        if after.at < 0:
            return replace(after, at=fresh)
        known = {key: i for i, key in enumerate(keys(after.genotypes))}
        near = [known.get(key) for key in keys(self._neighbours(after.genotypes[after.at]))]
        rows = [row for row in near if row is not None]
        if len(rows) < len(near):
            return after
        best = min(rows, key=lambda row: (float(after.errors[row]), row), default=after.at)
        return replace(after, at=best if after.errors[best] < after.errors[after.at] else -1)

    def _neighbours(self, genotype: NDArray[np.int32]) -> Genotypes:
        """Return the canonical genotypes [N, D] inside the bounds that differ in one active decision."""
        sizes = [len(decision.options) for decision in self.proposer.decisions]
        decision_index = np.repeat(np.arange(len(sizes)), sizes)
        changed = np.tile(genotype, (len(decision_index), 1))
        changed[np.arange(len(decision_index)), decision_index] = np.concatenate([np.arange(size) for size in sizes])
        near = canonical(self.proposer.decisions, changed)
        return first_new(near[self.proposer.feasible(near)], set(keys(genotype[None])), len(near))
