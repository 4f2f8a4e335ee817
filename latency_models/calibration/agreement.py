"""How measured latencies of some networks agree with predicted ones: the bias, the scatter around it, the order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from latency_models.workload import Array

SMALL = (0.5, 2.0)  # ratios that are said in percent


@dataclass(frozen=True)
class Agreement:
    """Measured against predicted latencies of N networks.

    A pair of networks whose measured latencies differ by less than their spread has no order that could be wrong.
    """

    networks: int
    bias: float  # median of measured / predicted, less 1
    error: float  # mean of |measured / predicted - 1|
    scatter: float  # the same after division by 1 + bias
    same_order: int  # pairs that are measured in the order in which they are predicted
    other_order: int
    unresolved: int  # pairs whose measured latencies cannot be told apart

    def sentences(self) -> tuple[str, ...]:
        """Return what a reader should know of it, in two sentences at most."""
        side = "slower" if self.bias > 0 else "faster"
        typical = f"{abs(self.bias):.1%} {side} than predicted"
        if not SMALL[0] <= 1 + self.bias <= SMALL[1]:
            typical = f"as {1 + self.bias:.2g} times what is predicted"
        first = f"measured {typical} (median), {self.scatter:.1%} of scatter around that"
        pairs = self.same_order + self.other_order + self.unresolved
        if not pairs:
            return (first,)
        left = f", {self.unresolved} cannot be told apart" if self.unresolved else ""
        return first, f"order: {self.same_order} of {pairs} pairs as predicted, {self.other_order} the other way{left}"


def agreement(
    predicted_ms: Sequence[float] | Array, measured_ms: Sequence[float] | Array, spread: Sequence[float] = ()
) -> Agreement:
    """Return how latencies [N], at least one, agree; `spread` [N] is relative to the measured ones, by default 0."""
    predicted, measured = np.asarray(predicted_ms, np.float64), np.asarray(measured_ms, np.float64)
    widths = np.asarray(spread, np.float64) if len(spread) else np.zeros(len(measured))
    ratios = measured / predicted
    typical = float(np.median(ratios))
    counts = {-1: 0, 0: 0, 1: 0}
    for i, j in combinations(range(len(measured)), 2):
        gap = float(measured[i] - measured[j])
        resolved = abs(gap) > max(widths[i] * measured[i], widths[j] * measured[j]) / 2
        counts[int(np.sign(gap) * np.sign(predicted[i] - predicted[j])) if resolved else 0] += 1
    return Agreement(
        len(measured), typical - 1, float(np.abs(ratios - 1).mean()), float(np.abs(ratios / typical - 1).mean()),
        counts[1], counts[-1], counts[0],
    )  # fmt: skip
