"""Particle swarm over option indices (Kennedy and Eberhart 1995; constriction of Clerc and Kennedy 2002).

A member of the hybrid of Speckhard et al. 2022, arXiv 2202.05397, whose settings of the swarm are not public: those
here are the constriction coefficient's usual 0.7298 and 1.4962 (Eberhart and Shi 2000) and our own number of particles.

A particle moves in R^D, and its position is rounded to option indices. Ours: a genotype outside the bounds is
repaired, and the particle continues from the genotype that was evaluated for it. Results of other algorithms count for
the best position of the swarm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotypes, Proposer
from nas.search.trials import Trials, no_trials, proposals, with_results
from nas.space.genotypes import canonical, keys


@dataclass(frozen=True)
class SwarmState(Trials):
    """The trials, and of P particles the position (to be evaluated next), velocity and best position [P, D]."""

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    best: NDArray[np.float64]
    best_error: NDArray[np.float64]  # [P], the largest float where nothing is known yet
    moves: NDArray[np.int64]  # [P] made so far; the particles with the fewest are asked next


@dataclass(frozen=True)
class Swarm:
    """Minimises the first objective."""

    proposer: Proposer
    particles: int = 20
    inertia: float = 0.7298
    pull: float = 1.4962  # towards the particle's own best position, and towards that of the swarm

    def init(self, seed: int) -> SwarmState:
        """Return particles at rest at samples; where few genotypes exist, several particles share one."""
        trials = no_trials(seed, self.proposer.decisions)
        sampled = self.proposer.draw(trials.rng, self.particles)
        position = sampled[np.arange(self.particles) % len(sampled)].astype(np.float64)
        return SwarmState(
            **vars(trials),
            position=position,
            velocity=np.zeros_like(position),
            best=position,
            best_error=np.full(self.particles, np.finfo(np.float64).max),
            moves=np.zeros(self.particles, np.int64),
        )

    def ask(self, state: SwarmState, count: int) -> Genotypes:
        """Return the genotypes of the particles that moved least often, then new samples."""
        turn = np.argsort(state.moves, kind="stable")
        return proposals(self.proposer, state, self._genotypes(state)[turn], count, rng=state.rng)

    def tell(self, state: SwarmState, genotypes: Genotypes, objectives: NDArray[np.float64]) -> SwarmState:
        """Return the state in which every particle whose genotype was evaluated has learnt from it and moved."""
        asked, after = self._genotypes(state), with_results(state, genotypes, objectives)
        if not len(after):
            return after
        # A particle moves where the error of its genotype is known by now, whichever algorithm asked for it.
        known = dict(zip(keys(after.genotypes), after.errors.tolist(), strict=True))
        errors = np.array([known.get(key, np.nan) for key in keys(asked)])
        leader = after.genotypes[after.errors.argmin()]
        return self._moved(state, after, asked, np.isfinite(errors), errors, state.best_error, leader)

    def _moved(
        self, state: SwarmState, after: SwarmState, asked: Genotypes, moving: NDArray[np.bool_],
        errors: NDArray[np.float64], best_error: NDArray[np.float64], leader: Genotypes,
    ) -> SwarmState:  # fmt: skip
        """Return `after` with the particles that are `moving` [P] moved from what they `asked` [P, D].

        `errors` [P] are those of what they asked, `best_error` [P] those of their best positions so far; all follow
        `leader`, one for all [D] or one each [P, D].
        """
        position = np.where(moving[:, None], asked, state.position)
        better = moving & (errors < best_error)
        best = np.where(better[:, None], position, state.best)
        # velocity <- inertia * velocity + random pulls towards the own best position and the best of all trials
        own, common = after.rng.random((2, *position.shape))
        pulls = self.pull * (own * (best - position) + common * (leader - position))
        velocity = np.where(moving[:, None], self.inertia * state.velocity + pulls, state.velocity)
        top = np.array([len(decision.options) - 1 for decision in self.proposer.decisions])
        return SwarmState(
            **{
                **vars(after),
                "position": np.where(moving[:, None], np.clip(position + velocity, 0, top), position),
                "velocity": np.clip(velocity, -top, top),
                "best": best,
                "best_error": np.where(better, errors, best_error),
                "moves": state.moves + moving,
            }
        )

    def _genotypes(self, state: SwarmState) -> Genotypes:
        """Return the genotypes [P, D] nearest to the positions, inside the bounds; the same until the next tell."""
        rounded = canonical(self.proposer.decisions, np.rint(state.position).astype(np.int32))
        return self.proposer.repaired(rounded, state.rng)
