"""Random search (Li and Talwalkar 2019), arXiv 1902.07638: the baseline of every comparison.

Samples all decisions at once, within the bounds, and nothing twice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, no_trials, proposals, with_results


@dataclass(frozen=True)
class RandomSearch:
    """Samples the genotypes of `proposer` without learning."""

    proposer: Proposer

    def init(self, seed: int) -> Trials:
        """Return the state before the first tell."""
        return no_trials(seed, self.proposer.decisions)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return `count` samples that were not tried before."""
        return proposals(self.proposer, state, state.genotypes[:0], count, rng=state.rng)

    def tell(self, state: Trials, genotypes: Genotypes, objectives: NDArray[np.float64]) -> Trials:
        """Return the state with these trials."""
        return with_results(state, genotypes, objectives)
