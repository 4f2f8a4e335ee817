"""Regularised (aging) evolution (Real et al. 2019), arXiv 1802.01548, algorithm 1 and section "Search Algorithms".

The population is the last P trials: the oldest dies, however good it is. Each child is a mutant of the best of S random
members. Ours: one active decision changes at a time; a child outside the bounds is repaired; nothing is evaluated
twice; several children may be asked for at once, all of the same population.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, mutated, no_trials, proposals, with_results

RESERVE = 4  # mutants made per child that is asked for, in case of repeats


@dataclass(frozen=True)
class RegularizedEvolution:
    """Minimises the first objective; sizes of population and tournament as in the paper's large-scale experiments."""

    proposer: Proposer
    population: int = 100
    sample: int = 25

    def init(self, seed: int) -> Trials:
        """Return the state before the first tell."""
        return no_trials(seed, self.proposer.decisions)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return `count` mutants; samples of the space until the population is full."""
        rng = state.rng
        if len(state) < self.population:
            return proposals(self.proposer, state, state.genotypes[:0], count, rng=rng)
        members, errors = state.genotypes[-self.population :], state.errors[-self.population :]
        # Tournaments: per child `sample` different members, of which the best is the parent.
        entries = rng.random((RESERVE * count, len(members))).argsort(1)[:, : self.sample]
        parents = members[entries[np.arange(len(entries)), errors[entries].argmin(1)]]
        children = self.proposer.repaired(mutated(self.proposer.decisions, parents, rng), rng)
        return proposals(self.proposer, state, children, count, rng=rng)

    def tell(self, state: Trials, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Trials:
        """Return the state with these trials, in the order of their age."""
        return with_results(state, genotypes, objectives)
