"""Genotypes of any space: what follows from its list of choices, the canonical form, samples, and the check of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.protocols import Decision


def canonical(decisions: Sequence[Decision], genotypes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return genotypes [N, D] with inactive decisions set to option 0."""
    result = np.array(genotypes, dtype=np.int32, copy=True)
    for i, decision in enumerate(decisions):
        if decision.condition:
            result[result[:, decision.condition[0]] < decision.condition[1], i] = 0
    return result


def sample(decisions: Sequence[Decision], rng: np.random.Generator, count: int) -> NDArray[np.int32]:
    """Return `count` canonical genotypes [N, D], each decision drawn uniformly."""
    sizes = [len(decision.options) for decision in decisions]
    return canonical(decisions, rng.integers(0, sizes, size=(count, len(sizes)), dtype=np.int32))


class DecisionSpace(ABC):
    """Base of spaces that list their choices as `all_decisions`: names to genes and options, arrays of genotypes."""

    name: str

    @property
    @abstractmethod
    def all_decisions(self) -> tuple[Decision, ...]:
        """All choices by name, those with a single option included (they are no decisions)."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The choices with more than one option, in the order of a genotype."""
        return tuple(decision for decision in self.all_decisions if len(decision.options) > 1)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Name of a decision -> its place in a genotype."""
        return {decision.name: i for i, decision in enumerate(self.decisions)}

    @cached_property
    def options(self) -> dict[str, tuple[Any, ...]]:
        """Name of a slot -> its options."""
        return {decision.name: decision.options for decision in self.all_decisions}

    def value(self, genotype: Sequence[int], name: str) -> Any:
        """Return the option that `genotype` takes for the slot `name`."""
        return self.options[name][genotype[self.index_of[name]] if name in self.index_of else 0]

    def canonical(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Return genotypes [N, D] with inactive decisions set to option 0."""
        return canonical(self.decisions, genotypes)

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.int32]:
        """Return `count` canonical genotypes [N, D], each decision drawn uniformly."""
        return sample(self.decisions, rng, count)

    def check(self, genotype: Sequence[int]) -> None:
        """Raise `InvalidInput` where `genotype` has no option index for each decision."""
        sizes = [len(decision.options) for decision in self.decisions]
        if len(genotype) != len(sizes) or not all(0 <= g < n for g, n in zip(genotype, sizes, strict=True)):
            raise InvalidInput(f"a genotype of '{self.name}' has {len(sizes)} indices below {sizes}, got {genotype}")


def embedding(whole: DecisionSpace, part: DecisionSpace) -> Callable[[NDArray[np.int32]], NDArray[np.int32]]:
    """Return the function from genotypes [N, d] of a view `part` of a space to those of the same networks [N, D].

    The choices of a view are choices of the space by the same names; what it lacks is inactive in all of its networks.
    """
    numbers = [
        np.array([decision.options.index(option) for option in part.options.get(decision.name, decision.options[:1])])
        for decision in whole.decisions
    ]
    decision_indices = [part.index_of.get(decision.name) for decision in whole.decisions]

    def embed(genotypes: NDArray[np.int32]) -> NDArray[np.int32]:
        columns = [
            np.full(len(genotypes), table[0]) if decision_index is None else table[genotypes[:, decision_index]]
            for table, decision_index in zip(numbers, decision_indices, strict=True)
        ]
        return whole.canonical(np.stack(columns, 1))

    return embed
