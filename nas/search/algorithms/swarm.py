"""Particle swarm over option indices (Kennedy and Eberhart 1995; constriction of Clerc and Kennedy 2002).

A member of the hybrid of Speckhard et al. 2022, arXiv 2202.05397, whose settings of the swarm are not public: those
here are the constriction coefficient's usual 0.7298 and 1.4962 (Eberhart and Shi 2000) and our own number of
particles. Positions are real and rounded to option indices; a particle takes the place that was evaluated for it, which
the bounds may have moved. Results that other algorithms found pull the swarm as its best place known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, keys, no_trials, proposals, with_results
from nas.space.genotypes import canonical


@dataclass(frozen=True)
class SwarmState(Trials):
    """The trials, and per particle [P, D] where it is to be evaluated next, its speed, and its best place so far."""

    position: NDArray[np.float64]
    speed: NDArray[np.float64]
    best: NDArray[np.float64]
    best_error: NDArray[np.float64]  # [P], the largest number where nothing is known yet
    moves: NDArray[np.int64]  # [P] made so far; who made fewest is next


@dataclass(frozen=True)
class Swarm:
    """Minimises the first objective."""

    proposer: Proposer
    particles: int = 20
    inertia: float = 0.7298
    pull: float = 1.4962  # towards a particle's own best place, and towards that of all

    def init(self, seed: int) -> SwarmState:
        """Return particles at draws, at rest; where few genotypes exist they share places."""
        trials = no_trials(seed, self.proposer.decisions)
        sampled = self.proposer.draw(trials.rng, self.particles)
        position = sampled[np.arange(self.particles) % len(sampled)].astype(np.float64)
        return SwarmState(
            **vars(trials),
            position=position,
            speed=np.zeros_like(position),
            best=position,
            best_error=np.full(self.particles, np.finfo(np.float64).max),
            moves=np.zeros(self.particles, np.int64),
        )

    def ask(self, state: SwarmState, count: int) -> Genotypes:
        """Return the places of the particles that moved least, then draws."""
        turn = np.argsort(state.moves, kind="stable")
        return proposals(self.proposer, state, self._places(state)[turn], count, rng=state.rng)

    def tell(self, state: SwarmState, genotypes: Genotypes, objectives: NDArray[np.float64]) -> SwarmState:
        """Return the state in which every particle whose place is known has learnt from it and moved on."""
        places, after = self._places(state), with_results(state, genotypes, objectives)
        if not len(after):
            return after
        known = dict(zip(keys(after.genotypes), after.errors.tolist(), strict=True))
        errors = np.array([known.get(key, np.nan) for key in keys(places)])
        moving = np.isfinite(errors)
        position = np.where(moving[:, None], places, state.position)
        better = moving & (errors < state.best_error)
        best = np.where(better[:, None], position, state.best)
        leader = after.genotypes[after.errors.argmin()]
        own, common = after.rng.random((2, *position.shape))
        pulls = self.pull * (own * (best - position) + common * (leader - position))
        speed = np.where(moving[:, None], self.inertia * state.speed + pulls, state.speed)
        top = np.array([len(decision.options) - 1 for decision in self.proposer.decisions])
        return SwarmState(
            **{
                **vars(after),
                "position": np.where(moving[:, None], np.clip(position + speed, 0, top), position),
                "speed": np.clip(speed, -top, top),
                "best": best,
                "best_error": np.where(better, errors, state.best_error),
                "moves": state.moves + moving,
            }
        )

    def _places(self, state: SwarmState) -> Genotypes:
        """Return the genotype [P, D] that each particle stands for; always the same until the next tell."""
        rounded = canonical(self.proposer.decisions, np.rint(state.position).astype(np.int32))
        return self.proposer.repaired(rounded, state.rng)
