"""Exact local repair: the likeliest architecture near a policy's argmax that lands on the target and keeps the bounds.

Moves change one decision, or two at once; the cost tables price all of them in one batch, so nothing is sampled and the
guarantee costs no training. Source of the idea: our simulations of the target lock; the published searches do without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotype, SearchSpace
from nas.space.cost_table import CostTable

Genotypes = NDArray[np.int32]


class Scored(Protocol):
    """What gives genotypes [N, D] a cost [N]: a cost table, or a prediction that has none."""

    @property
    def name(self) -> str: ...
    def score(self, genotypes: Genotypes) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Constraints:
    """What the final architecture must keep: a latency within `tolerance` of `target`, and upper bounds.

    Bounds on what has no table are `predicted_limits`: nas/search/constraints/project.py keeps them. `surrogate_limits` are tables that follow them
    roughly, with the same bounds; a policy learns from these, and nothing has to keep them.
    """

    latency: CostTable
    target: float
    tolerance: float = 0.01
    limits: tuple[tuple[CostTable, float], ...] = ()
    surrogate_limits: tuple[tuple[CostTable, float], ...] = ()
    predicted_limits: tuple[tuple[Scored, float], ...] = ()

    def violation(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return how far genotypes [N, D] are from keeping all of it, relative; 0 where they do."""
        gap = np.abs(self.latency.score(genotypes) / self.target - 1) - self.tolerance
        over = [table.excess(genotypes, bound) for table, bound in self.limits]
        return np.sum([np.maximum(gap, 0), *over], axis=0)

    def kept(self, genotypes: Genotypes) -> NDArray[np.bool_]:
        """Return which of the genotypes [N, D] keep all of it, the checked bounds too, as [N]."""
        kept = self.violation(genotypes) <= 0
        for check, most in self.predicted_limits:
            kept[kept] = check.score(genotypes[kept]) <= most
        return np.asarray(kept)

    def ratios(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return latency over target [N]."""
        ratios: NDArray[np.float64] = self.latency.score(genotypes) / self.target
        return ratios


def neighbours(space: SearchSpace, genotype: Sequence[int], moves: int = 1) -> Genotypes:
    """Return the genotypes that differ from `genotype` in up to `moves` (1 or 2) decisions, itself first, as [N, D]."""
    options = [[o for o in range(len(d.options)) if o != g] for d, g in zip(space.decisions, genotype, strict=True)]
    found = [list(genotype)]
    for count in range(1, moves + 1):
        for decision_indices in combinations(range(len(genotype)), count):
            grid = np.stack(
                np.meshgrid(*(options[decision_index] for decision_index in decision_indices), indexing="ij"), -1
            ).reshape(-1, count)
            changed = np.tile(np.asarray(genotype), (len(grid), 1))
            changed[:, decision_indices] = grid
            found.extend(changed.tolist())
    return np.asarray(found, np.int32)


def repair(
    space: SearchSpace, genotype: Sequence[int], scores: NDArray[np.float64], constraints: Constraints
) -> Genotype | None:
    """Return the genotype near `genotype` that keeps `constraints`, or None where no path of moves gets there.

    Among those that do within the fewest moves the one with the highest sum of `scores` [D, O] (log-probabilities)
    wins; where two moves are not enough, the pair that closes the gap most is taken and the search goes on from there.
    """
    at = tuple(int(g) for g in genotype)
    violation = float(constraints.violation(np.array([at]))[0])
    while violation > 0:
        near = neighbours(space, at, moves=1)
        violations = constraints.violation(near)
        if violations.min() > 0:
            near = neighbours(space, at, moves=2)
            violations = constraints.violation(near)
        if violations.min() >= violation:
            return None
        worth = scores[np.arange(near.shape[1]), near].sum(1)
        kept = violations <= violations.min()
        at = tuple(int(g) for g in near[np.flatnonzero(kept)[np.argmax(worth[kept])]])
        violation = float(violations.min())
    return at
