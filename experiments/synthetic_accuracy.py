"""A made-up accuracy for studies of search: smooth and saturating in the architecture, other weights for every seed."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.space.staged import StagedSpace

LOWEST, HIGHEST, BEND = 0.55, 0.80, 2.0  # the synthetic accuracy of the smallest and the largest, and how it saturates


@dataclass(frozen=True)
class Worth:
    """What every option of a space adds to the quality, between 0 for the smallest architecture and 1 for the largest.

    Filters and expansions count by their logarithm, blocks with falling weight, depthwise kernels by their size and by
    chance; all weights differ by a random factor. The same numbers serve every view of the space.
    """

    weights: dict[str, float]
    largest: float

    @classmethod
    def of(cls, space: StagedSpace, seed: int) -> "Worth":
        """Draw the weights."""
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
        """Return what each option of each decision adds [O], and what the choices with one option add."""
        gains, fixed = [], 0.0
        for decision in space.all_decisions:
            values = np.array([self._of(decision.name, option) for option in decision.options]) / self.largest
            if len(values) > 1:
                gains.append(values)
            elif self._counts(space, decision.name):
                fixed += float(values[0])
        return gains, fixed

    def _counts(self, space: StagedSpace, name: str) -> bool:
        decision = next(decision for decision in space.all_decisions if decision.name == name)
        return decision.condition is None or not name.endswith(".dw")  # an inactive block's depthwise adds nothing

    def _of(self, name: str, option: Any) -> float:
        weight = self.weights[name]
        if name.endswith(".dw"):
            start, middle = option
            return weight * (self.weights[f"{name}.start{start}"] + self.weights[f"{name}.middle{middle}"])
        return weight * (_size(name, option) - self.weights[f"{name}.first"])


def _size(name: str, option: float) -> float:
    """Return how much an option adds before its weight: the logarithm, of a depth blocks with falling weight."""
    return 0.5 * sum(0.8**i for i in range(int(option))) if name.endswith(".depth") else float(np.log(option))


def top1_of(quality: Array) -> Array:
    """Return the accuracy of a quality: rising, ever more slowly."""
    return LOWEST + (HIGHEST - LOWEST) * (1 - jnp.exp(-BEND * quality)) / (1 - np.exp(-BEND))
