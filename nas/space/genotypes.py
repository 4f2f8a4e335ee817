"""Genotypes of any search space: canonical form, uniform samples, and `DecisionSpace`, the base class of spaces.

A genotype is a vector of option indices, one per decision. Decisions whose condition does not hold are inactive; in
canonical form they are at option 0, so that equal networks have equal genotypes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    """Return `count` canonical genotypes [N, D], each decision sampled uniformly."""
    sizes = [len(decision.options) for decision in decisions]
    return canonical(decisions, rng.integers(0, sizes, size=(count, len(sizes)), dtype=np.int32))


def keys(genotypes: NDArray[np.integer[Any]]) -> list[bytes]:
    """Return one hashable key per row of genotypes [N, D]."""
    rows = np.ascontiguousarray(genotypes, np.int32)
    return [row.tobytes() for row in rows]


class DecisionSpace(ABC):
    """Base of search spaces that list their choices as `all_decisions`: decisions by name, batches of genotypes."""

    name: str

    @property
    @abstractmethod
    def all_decisions(self) -> tuple[Decision, ...]:
        """All choices in order, those with a single option included; `decisions` leaves these out."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The choices with more than one option, in the order of a genotype."""
        return tuple(decision for decision in self.all_decisions if len(decision.options) > 1)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Name of a decision -> its index in a genotype."""
        return {decision.name: i for i, decision in enumerate(self.decisions)}

    @cached_property
    def options(self) -> dict[str, tuple[Any, ...]]:
        """Name of a choice -> its options."""
        return {decision.name: decision.options for decision in self.all_decisions}

    def value(self, genotype: Sequence[int], name: str) -> Any:
        """Return the option that `genotype` takes for the choice `name`; the only one where it is no decision."""
        return self.options[name][genotype[self.index_of[name]] if name in self.index_of else 0]

    def genotype_of(self, values: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the canonical genotype with these values of choices, by name; a choice without one takes its first.

        Raises `InvalidInput` where a name or a value is none of this space.
        """
        for name, value in values.items():
            if value not in self.options.get(name, ()):
                offered = f"one of {self.options[name]}" if name in self.options else "absent: there is no such choice"
                raise InvalidInput(f"{name} of '{self.name}' must be {offered}, got {value}")
        pairs = ((decision.options, values.get(decision.name, decision.options[0])) for decision in self.decisions)
        raw = np.array([[options.index(value) for options, value in pairs]])
        return tuple(int(g) for g in self.canonical(raw)[0])

    def canonical(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Return genotypes [N, D] with inactive decisions set to option 0."""
        return canonical(self.decisions, genotypes)

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.int32]:
        """Return `count` canonical genotypes [N, D], each decision sampled uniformly."""
        return sample(self.decisions, rng, count)

    def check(self, genotype: Sequence[int]) -> None:
        """Raise `InvalidInput` where `genotype` has no option index for each decision."""
        sizes = [len(decision.options) for decision in self.decisions]
        if len(genotype) != len(sizes) or not all(0 <= g < n for g, n in zip(genotype, sizes, strict=True)):
            raise InvalidInput(f"a genotype of '{self.name}' has {len(sizes)} indices below {sizes}, got {genotype}")


def embedding(space: DecisionSpace, view: DecisionSpace) -> Callable[[NDArray[np.int32]], NDArray[np.int32]]:
    """Return the function from genotypes [N, d] of a `view` of a space to those of the same networks [N, D] in `space`.

    The choices of a view are choices of the space by the same names, with some of their options; what a view lacks is
    inactive in all of its networks.
    """
    # Per decision of the space: the index there of every option that the view offers, and the view's own decision.
    option_index = [
        np.array([decision.options.index(option) for option in view.options.get(decision.name, decision.options[:1])])
        for decision in space.decisions
    ]
    index_in_view = [view.index_of.get(decision.name) for decision in space.decisions]  # None: no choice in the view

    def embed(genotypes: NDArray[np.int32]) -> NDArray[np.int32]:
        columns = [
            np.full(len(genotypes), table[0]) if d is None else table[genotypes[:, d]]
            for table, d in zip(option_index, index_in_view, strict=True)
        ]
        return space.canonical(np.stack(columns, 1))

    return embed
