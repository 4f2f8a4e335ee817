"""Single-objective algorithms that search for a whole front: each proposal minimises another weighting.

ParEGO (Knowles 2006, IEEE Transactions on Evolutionary Computation 10(1), section III): the objectives, each scaled
to the range of the trials so far, are joined by an augmented Chebyshev function with random weights, and the algorithm
asks for the minimum of that. A swarm has a weighting for each of its particles instead (decomposition, as in Zapotecas
Martinez and Coello 2011). Ours: costs span orders of magnitude, so they are scaled by their logarithms; the first
objective is an error, which is not.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer, SearchAlgorithm
from nas.search.algorithms.gaussian_process import GaussianProcess
from nas.search.algorithms.hybrid import Hybrid
from nas.search.algorithms.regularized_evolution import RegularizedEvolution
from nas.search.algorithms.swarm import Swarm, SwarmState
from nas.search.trials import Trials, proposals, with_results
from nas.space.genotypes import keys

AUGMENTATION = 0.05  # of the weighted sum beside the weighted maximum: no weakly dominated point is a minimum
Floats = NDArray[np.float64]


def whole_front(algorithm: Any) -> Any:
    """Return the form of an algorithm that minimises all objectives; the algorithm itself where it has no other one."""
    if isinstance(algorithm, Hybrid):
        return FrontHybrid(algorithm.proposer)
    if isinstance(algorithm, Swarm):
        return FrontSwarm(**vars(algorithm))
    if isinstance(algorithm, GaussianProcess | RegularizedEvolution):
        return Weighted(algorithm.proposer, algorithm)
    return algorithm


def scaled(objectives: Floats) -> Floats:
    """Return objectives [N, M] in the ranges of their values, 0 the least and 1 the most; 0 where all are equal.

    All but the first by their logarithms where all are positive.
    """
    values = np.array(objectives, np.float64)
    logarithmic = [column > 0 and bool((values[:, column] > 0).all()) for column in range(values.shape[1])]
    values[:, logarithmic] = np.log(values[:, logarithmic])
    least, most = values.min(0), values.max(0)
    return np.asarray((values - least) / np.where(most > least, most - least, 1.0))


def weighted(objectives: Floats, weights: Floats) -> Floats:
    """Return what each of the weightings [P, M], rows of sum 1, makes of objectives [N, M]: [P, N], to be minimised."""
    terms = weights[:, None] * scaled(objectives)
    return np.asarray(terms.max(2) + AUGMENTATION * terms.sum(2))


def weightings(rng: np.random.Generator, count: int, objectives: int) -> Floats:
    """Return random weightings [count, objectives], uniform over the simplex."""
    return rng.dirichlet(np.ones(objectives), count)


@dataclass(frozen=True)
class Weighted:
    """Minimises all objectives with a `member` whose state is its trials; each proposal has a weighting of its own."""

    proposer: Proposer
    member: SearchAlgorithm[Trials]

    def init(self, seed: int) -> Trials:
        """Return the state before the first tell."""
        return self.member.init(seed)

    def ask(self, state: Trials, count: int) -> Genotypes:
        """Return `count` proposals, one after the other with a weighting and a seed of its own."""
        if not len(state):
            return self.member.ask(state, count)
        drawn = weightings(state.rng, count, state.objectives.shape[1])
        seeds = np.random.SeedSequence([state.seed, state.counter]).generate_state(count).tolist()
        rows = [
            self.member.ask(replace(state, seed=seed, objectives=values[:, None]), 1)
            for seed, values in zip(seeds, weighted(state.objectives, drawn), strict=True)
        ]
        return proposals(self.proposer, state, np.concatenate(rows), count, rng=state.rng)

    def tell(self, state: Trials, genotypes: Genotypes, objectives: Floats) -> Trials:
        """Return the state with these trials."""
        return with_results(state, genotypes, objectives)


@dataclass(frozen=True)
class FrontSwarm(Swarm):
    """Minimises all objectives: each particle follows the best trial by a weighting of its own, which never changes."""

    def tell(self, state: SwarmState, genotypes: Genotypes, objectives: Floats) -> SwarmState:
        """Return the state in which every particle whose genotype was evaluated has learnt from it and moved."""
        asked, after = self._genotypes(state), with_results(state, genotypes, objectives)
        if not len(after):
            return after
        particles = np.arange(self.particles)
        weights = weightings(np.random.default_rng(state.seed), self.particles, after.objectives.shape[1])
        values = weighted(after.objectives, weights)  # [P, N]
        row = {key: i for i, key in enumerate(keys(after.genotypes))}
        here, before = (
            np.array([row.get(key, -1) for key in keys(found.astype(np.int32))]) for found in (asked, state.best)
        )
        unknown = np.finfo(np.float64).max
        errors, best_error = (np.where(rows >= 0, values[particles, rows], unknown) for rows in (here, before))
        return self._moved(state, after, asked, here >= 0, errors, best_error, after.genotypes[values.argmin(1)])


@dataclass(frozen=True)
class FrontHybrid(Hybrid):
    """Minimises all objectives with the members of the hybrid in turn, each in its form for a whole front."""

    @property
    def members(self) -> tuple[SearchAlgorithm[Any], ...]:
        """The algorithms that take turns, in this order."""
        return tuple(whole_front(member) for member in super().members)
