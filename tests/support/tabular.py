"""A search space without networks, for tests of code that sees genotypes only: decisions and tables of costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Combiner, Decision
from nas.space.cost_table import CostTable, Term


@dataclass(frozen=True)
class Tabular:
    """Decisions whose options are numbers; there is no `decode`."""

    decisions: tuple[Decision, ...]
    name: str = "tabular"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of options of each decision."""
        return tuple(len(decision.options) for decision in self.decisions)

    def grid(self) -> NDArray[np.int32]:
        """Return every genotype [N, D], inactive options included."""
        return np.stack(np.meshgrid(*map(np.arange, self.sizes), indexing="ij"), -1).reshape(-1, len(self.sizes))

    def table(self, terms: dict[tuple[int, ...], object], name: str = "cost", combiner: Combiner = "sum") -> CostTable:
        """Return the cost that is the sum of these terms, or their maximum."""
        arrays = tuple(Term(scope, np.asarray(values, float)) for scope, values in terms.items())
        return CostTable(name, combiner, 0.0, arrays, self.sizes)


def free(*sizes: int) -> Tabular:
    """Return a space of independent decisions with so many options."""
    return Tabular(tuple(Decision(f"d{i}", tuple(range(size))) for i, size in enumerate(sizes)))
