"""Synthetic accuracy for studies of search: a smooth, saturating function of the architecture, different per seed."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.space.staged import StagedSpace

LOWEST, HIGHEST = 0.55, 0.80  # synthetic accuracy of the smallest and of the largest architecture
SATURATION = 2.0  # rate of the exponential between them


@dataclass(frozen=True)
class SyntheticQuality:
    """The share of every option in the quality of an architecture, which is 0 for the smallest and 1 for the largest.

    Filters and expansions count by their logarithm, further blocks less and less, depthwise kernels by their size and
    at random; all weights differ by a random factor. The same numbers hold in every view of the space.
    """

    weights: dict[str, float]
    largest: float

    @classmethod
    def of(cls, space: StagedSpace, seed: int) -> "SyntheticQuality":
        """Return the quality with the random weights of a seed."""
        rng = np.random.default_rng([seed, 77])
        weights: dict[str, float] = {}
        for decision in space.all_decisions:
            factor = float(np.exp(0.5 * rng.standard_normal()))
            weights[decision.name] = factor * (0.1 if decision.name.endswith(".dw") else 1.0)
            weights[f"{decision.name}.first"] = (
                0.0 if decision.name.endswith(".dw") else _size(decision.name, decision.options[0])
            )
            for option in (0, 3, 5):
                for place in ("start", "middle"):
                    size = (0.0, 0.6, 1.0)[(0, 3, 5).index(option)]
                    weights[f"{decision.name}.{place}{option}"] = size + 0.3 * float(rng.standard_normal()) * (
                        option > 0
                    )
        gains, fixed = cls(weights, 1.0).tables(space)
        return cls(weights, float(sum(row.max() for row in gains) + fixed))

    def tables(self, space: StagedSpace) -> tuple[list[NDArray[np.float64]], float]:
        """Return the share of each option [O] per decision, and the sum of the shares of decisions with one option."""
        gains, fixed = [], 0.0
        for decision in space.all_decisions:
            values = np.array([self._of(decision.name, option) for option in decision.options]) / self.largest
            if len(values) > 1:
                gains.append(values)
            elif self._always_counts(space, decision.name):
                fixed += float(values[0])
        return gains, fixed

    def _always_counts(self, space: StagedSpace, name: str) -> bool:
        decision = next(decision for decision in space.all_decisions if decision.name == name)
        return decision.condition is None or not name.endswith(".dw")  # an inactive block's depthwise adds nothing

    def _of(self, name: str, option: Any) -> float:
        weight = self.weights[name]
        if name.endswith(".dw"):
            start, middle = option
            return weight * (self.weights[f"{name}.start{start}"] + self.weights[f"{name}.middle{middle}"])
        return weight * (_size(name, option) - self.weights[f"{name}.first"])


def _size(name: str, option: float) -> float:
    """Return the size of an option before its weight: the logarithm, for a depth a sum of falling terms."""
    return 0.5 * sum(0.8**i for i in range(int(option))) if name.endswith(".depth") else float(np.log(option))


def top1_of(quality: Array) -> Array:
    """Return the accuracy for a quality; it saturates."""
    return LOWEST + (HIGHEST - LOWEST) * (1 - jnp.exp(-SATURATION * quality)) / (1 - np.exp(-SATURATION))
