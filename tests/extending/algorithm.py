"""A search algorithm: (1 + N) evolution, which mutates the best architecture so far, as pure init, ask, tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, mutated, no_trials, proposals, with_results


@dataclass(frozen=True)
class OnePlusN:
    """Minimises the first objective; `proposer` gives and repairs genotypes that keep every hard bound."""

    proposer: Proposer

    def init(self, seed: int) -> Trials:
        """Return the state before the first trial."""
        return no_trials(seed, self.proposer.decisions)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return `count` mutants of the best; random architectures before there is one."""
        candidates = state.genotypes[:0]
        if len(state):
            best = np.tile(state.genotypes[state.errors.argmin()], (4 * count, 1))
            mutants = mutated(self.proposer.decisions, best, state.rng)
            candidates = mutants[self.proposer.feasible(mutants)]
        return proposals(self.proposer, state, candidates, count, rng=state.rng)

    def tell(self, state: Trials, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Trials:
        """Return the state with the results of these trials."""
        return with_results(state, genotypes, objectives)
