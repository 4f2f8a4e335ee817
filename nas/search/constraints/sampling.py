"""Random architectures within the constraints of a search: uniform draws over genotypes, moved by exact repair."""

import numpy as np

from nas.errors import InvalidInput
from nas.protocols import Genotype
from nas.search.constraints.repair import Constraints, repair
from nas.space.staged import StagedSpace

TIE_BREAK = 1e-3  # of the random scores that choose among equally near moves
MOST_FAILURES = 200  # draws in a row that gave nothing new


def random_satisfying(
    space: StagedSpace, constraints: Constraints, count: int, rng: np.random.Generator
) -> list[Genotype]:
    """Return `count` distinct canonical genotypes that satisfy the constraints, each near a uniform draw.

    The first of more are the same for the same `rng`. Raises `InvalidInput` where so many cannot be found.
    """
    flat = np.zeros((len(space.decisions), max(len(decision.options) for decision in space.decisions)))
    found: dict[Genotype, None] = {}  # in the order in which they were found
    failures = 0
    while len(found) < count:
        scores = flat + TIE_BREAK * rng.standard_normal(flat.shape)
        genotype = _canonical(space, repair(space, space.sample(rng, 1)[0], scores, constraints))
        if genotype is None or genotype in found or not constraints.satisfied_by(np.array([genotype]))[0]:
            failures += 1
        else:
            found[genotype], failures = None, 0
        if failures > MOST_FAILURES:
            raise InvalidInput(
                f"only {len(found)} of {count} networks within the constraints were found; ask for fewer, or widen them"
            )
    return list(found)


def _canonical(space: StagedSpace, genotype: Genotype | None) -> Genotype | None:
    """Return the canonical form of a genotype, None for None."""
    return None if genotype is None else tuple(int(g) for g in space.canonical(np.array([genotype]))[0])
