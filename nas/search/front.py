"""A front over a range of latencies: its latency budgets, and which of the evaluated networks answers each of them.

The answer of a budget is the most accurate evaluated network of at most that latency, of equally accurate ones the
fastest, then the first. What keeps a budget keeps every larger one, so the answers of rising budgets rise in accuracy,
and none of them dominates another: they are a front by construction, whatever the search found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Genotypes

BAND = 0.02  # of a budget: a candidate for its answer uses at least the rest, where the space has such networks
ROUNDING = 1e-12  # relative: the order in which terms are summed must not decide whether a budget is kept
MIN_POINTS = 2  # of a front: both ends of its range
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Listed:
    """The search algorithm that asks for these genotypes [N, D], one after the other, and learns nothing."""

    genotypes: Genotypes

    def init(self, seed: int) -> int:
        """Return how many were evaluated: none."""
        return 0

    def ask(self, state: int, count: int) -> Genotypes:
        """Return the next `count`."""
        return self.genotypes[state : state + count]

    def tell(self, state: int, genotypes: Genotypes, objectives: Floats) -> int:
        """Return how many were evaluated."""
        return state + len(genotypes)


def latency_budgets(low: float, high: float, points: int) -> tuple[float, ...]:
    """Return `points` budgets from `low` to `high`, both included, evenly spaced in the logarithm of the latency."""
    if points < MIN_POINTS:
        raise InvalidInput(f"a front has at least {MIN_POINTS} points, both ends of its range, got {points}")
    inner = np.geomspace(low, high, points)[1:-1].tolist()
    return (low, *inner, high)


def answers(latencies: Floats, accuracies: Floats, budgets: Sequence[float]) -> NDArray[np.intp]:
    """Return the index of the answer of each budget [B] among networks [N]; -1 where none keeps the budget.

    Of networks that are equally accurate and fast it is the first.
    """
    if not len(latencies):
        return np.full(len(budgets), -1)
    order = np.lexsort((latencies, -accuracies))  # the most accurate first, of equals the fastest
    kept = latencies[order] <= np.asarray(budgets)[:, None] * (1 + ROUNDING)  # [B, N]
    return np.where(kept.any(1), order[kept.argmax(1)], -1)
