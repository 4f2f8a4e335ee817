"""A space without networks: decisions and tables of costs, for tests of what sees genotypes only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Combiner, Decision
from nas.space.cost_table import CostTable, Term


@dataclass(frozen=True)
class Tabular:
    """Decisions with numbers for options. What would decode a genotype is missing."""

    decisions: tuple[Decision, ...]
    name: str = "tabular"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of options of each decision."""
        return tuple(len(decision.options) for decision in self.decisions)

    def grid(self) -> NDArray[np.int32]:
        """Every genotype [N, D], inactive options included."""
        return np.stack(np.meshgrid(*map(np.arange, self.sizes), indexing="ij"), -1).reshape(-1, len(self.sizes))

    def table(self, terms: dict[tuple[int, ...], object], name: str = "cost", combiner: Combiner = "sum") -> CostTable:
        """Return the cost that adds these terms, or takes their maximum."""
        arrays = tuple(Term(scope, np.asarray(values, float)) for scope, values in terms.items())
        return CostTable(name, combiner, 0.0, arrays, self.sizes)


def free(*sizes: int) -> Tabular:
    """Return a space of independent decisions with so many options."""
    return Tabular(tuple(Decision(f"d{i}", tuple(range(size))) for i, size in enumerate(sizes)))
