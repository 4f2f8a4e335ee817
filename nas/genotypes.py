"""Genotypes of any space as arrays [N, D]: the canonical form, samples, and the check of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision


def canonical(decisions: Sequence[Decision], genotypes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return genotypes [N, D] with inactive decisions set to option 0."""
    result = np.array(genotypes, dtype=np.int32, copy=True)
    for i, decision in enumerate(decisions):
        if decision.needs:
            result[result[:, decision.needs[0]] < decision.needs[1], i] = 0
    return result


def sample(decisions: Sequence[Decision], rng: np.random.Generator, count: int) -> NDArray[np.int32]:
    """Return `count` canonical genotypes [N, D], each decision drawn uniformly."""
    sizes = [len(decision.options) for decision in decisions]
    return canonical(decisions, rng.integers(0, sizes, size=(count, len(sizes)), dtype=np.int32))


def check(name: str, decisions: Sequence[Decision], genotype: Sequence[int]) -> None:
    """Raise `InvalidInput` where `genotype` has no option index for each decision of the space `name`."""
    sizes = [len(decision.options) for decision in decisions]
    if len(genotype) != len(sizes) or not all(0 <= g < n for g, n in zip(genotype, sizes, strict=True)):
        raise InvalidInput(f"a genotype of '{name}' has {len(sizes)} indices below {sizes}, got {genotype}")
