"""Exact local repair: the likeliest architecture near a policy's argmax that meets the latency and keeps the bounds.

Moves change one decision, or two at once; the cost tables price all of them in one batch, so the result is exact and
costs no training. The idea is from our own simulations of the latency constraint; the published searches do without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotype, Genotypes, SearchSpace
from nas.space.cost_table import CostTable

ROUNDING = 1e-12  # relative: the order in which terms are summed must not decide whether the budget is kept


class Scored(Protocol):
    """Anything that gives genotypes [N, D] a cost [N]: a cost table, or a prediction that has none."""

    @property
    def name(self) -> str: ...
    def score(self, genotypes: Genotypes) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Constraints:
    """What a search aims at: a latency within `tolerance` of `target`, and upper bounds on costs.

    Where the latency budget is an upper bound, `budget` is that bound, the aim lies just inside it, and an architecture
    that is faster than the aim may be the answer too; else `budget` is None. `limits` are bounds on costs that have a
    table, `predicted_limits` on predictions without one, which nas/search/constraints/project.py keeps by checking
    them. `surrogate_limits` are tables that follow the predictions roughly, with the same bounds: a policy learns from
    them, but nothing has to keep them.
    """

    latency: CostTable
    target: float
    tolerance: float = 0.01
    limits: tuple[tuple[CostTable, float], ...] = ()
    surrogate_limits: tuple[tuple[CostTable, float], ...] = ()
    predicted_limits: tuple[tuple[Scored, float], ...] = ()
    budget: float | None = None

    def violation(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return how far genotypes [N, D] are from satisfying the latency and the limits, relative and summed, as [N].

        0 where they satisfy them; predictions do not count.
        """
        gap = np.abs(self.latency.score(genotypes) / self.target - 1) - self.tolerance
        over = [table.excess(genotypes, bound) for table, bound in self.limits]
        return np.sum([np.maximum(gap, 0), *over], axis=0)

    def satisfied_by(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which of the genotypes [N, D] satisfy all constraints, the bounds on predictions too, as [N]."""
        return self._predicted_too(genotypes, self.violation(genotypes) <= 0)

    def kept_by(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which of the genotypes [N, D] may be the answer: within the budget, and satisfying all else, as [N].

        With a two-sided aim, `budget` None, those are the ones that satisfy all constraints.
        """
        if self.budget is None:
            return self.satisfied_by(genotypes)
        kept = self.latency.score(genotypes) <= self.budget * (1 + ROUNDING)
        for table, bound in self.limits:
            kept &= table.excess(genotypes, bound) <= 0
        return self._predicted_too(genotypes, kept)

    def _predicted_too(self, genotypes: Genotypes, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the genotypes [N, D] are `kept` [N] and keep the bounds on predictions, as [N]."""
        kept = np.array(kept)
        for check, most in self.predicted_limits:
            kept[kept] = check.score(genotypes[kept]) <= most
        return kept

    def ratios(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return latency over target [N]."""
        ratios: NDArray[np.float64] = self.latency.score(genotypes) / self.target
        return ratios


def neighbours(space: SearchSpace, genotype: Sequence[int], moves: int = 1) -> Genotypes:
    """Return the genotypes that differ from `genotype` in up to `moves` (1 or 2) decisions, itself first, as [N, D]."""
    options = [[o for o in range(len(d.options)) if o != g] for d, g in zip(space.decisions, genotype, strict=True)]
    found = [list(genotype)]
    for count in range(1, moves + 1):
        for changing in combinations(range(len(genotype)), count):
            # Every combination of other options of the changing decisions, one row each.
            grid = np.stack(np.meshgrid(*(options[d] for d in changing), indexing="ij"), -1).reshape(-1, count)
            changed = np.tile(np.asarray(genotype), (len(grid), 1))
            changed[:, changing] = grid
            found.extend(changed.tolist())
    return np.asarray(found, np.int32)


def repair(
    space: SearchSpace, genotype: Sequence[int], scores: NDArray[np.float64], constraints: Constraints
) -> Genotype | None:
    """Return a genotype near `genotype` that satisfies `constraints`, or None where no path of moves leads to one.

    Among those that do with the fewest moves the one with the highest sum of `scores` [D, O] (log-probabilities) wins.
    Where two moves are not enough, the pair that reduces the violation most is made, and the search goes on from there.
    """
    at = tuple(int(g) for g in genotype)
    violation = float(constraints.violation(np.array([at]))[0])
    while violation > 0:
        # Two moves at once are many more neighbours, so they are tried only where one move does not suffice.
        near = neighbours(space, at, moves=1)
        violations = constraints.violation(near)
        if violations.min() > 0:
            near = neighbours(space, at, moves=2)
            violations = constraints.violation(near)
        if violations.min() >= violation:
            return None  # a local minimum: no pair of changes helps
        # Of the neighbours with the smallest violation (0 for all that satisfy the constraints) take the likeliest.
        worth = scores[np.arange(near.shape[1]), near].sum(1)
        kept = violations <= violations.min()
        at = tuple(int(g) for g in near[np.flatnonzero(kept)[np.argmax(worth[kept])]])
        violation = float(violations.min())
    return at
