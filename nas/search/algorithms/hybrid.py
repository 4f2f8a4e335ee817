"""Hybrid of Gaussian-process bandit, regularised evolution and particle swarm (Speckhard et al. 2022), 2202.05397.

The members share the trials: each proposes every third one and learns from all of them. The paper publishes neither the
shares nor the settings of the swarm; equal shares and the members' defaults here are our own.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer, SearchAlgorithm
from nas.search.algorithms.gaussian_process import GaussianProcess
from nas.search.algorithms.regularized_evolution import RegularizedEvolution
from nas.search.algorithms.swarm import Swarm
from nas.search.trials import Trials, no_trials, proposals, with_results


@dataclass(frozen=True)
class HybridState(Trials):
    """The trials and the states of the members."""

    members: tuple[Any, ...]


@dataclass(frozen=True)
class Hybrid:
    """Minimises the first objective with three algorithms in turn; all learn from all trials."""

    proposer: Proposer

    @property
    def members(self) -> tuple[SearchAlgorithm[Any], ...]:
        """The algorithms that take turns, in this order."""
        return GaussianProcess(self.proposer), RegularizedEvolution(self.proposer), Swarm(self.proposer)

    def init(self, seed: int) -> HybridState:
        """Return the state before the first tell; each member has a seed of its own that follows from `seed`."""
        trials = no_trials(seed, self.proposer.decisions)
        seeds = np.random.SeedSequence(seed).generate_state(len(self.members)).tolist()
        return HybridState(
            **vars(trials), members=tuple(m.init(own) for m, own in zip(self.members, seeds, strict=True))
        )

    def ask(self, state: HybridState, count: int) -> Genotypes:
        """Return `count` proposals, the members in turn; trial number n is proposed by member n mod 3."""
        turns = (len(state) + np.arange(count)) % len(self.members)
        counts = np.bincount(turns, minlength=len(self.members))
        asked = [
            m.ask(own, int(n)) if n else state.genotypes[:0]
            for m, own, n in zip(self.members, state.members, counts, strict=True)
        ]
        # Interleave: trial i is the next not yet taken proposal of the member whose turn it is.
        place = [int((turns[:i] == turn).sum()) for i, turn in enumerate(turns)]
        rows = [asked[turn][i] for turn, i in zip(turns, place, strict=True)]
        return proposals(self.proposer, state, np.reshape(rows, (count, -1)).astype(np.int32), count, rng=state.rng)

    def tell(self, state: HybridState, genotypes: Genotypes, objectives: NDArray[np.float64]) -> HybridState:
        """Return the state in which every member knows these trials."""
        members = zip(self.members, state.members, strict=True)
        return replace(
            with_results(state, genotypes, objectives),
            members=tuple(member.tell(own, genotypes, objectives) for member, own in members),
        )
