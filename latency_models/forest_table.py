"""A forest over a space: what it predicts for genotypes, its features looked up in tables instead of decoded.

The features of a forest (latency_models/forest.py) are sums and maxima over kernels, so those of a part of the network
follow from the decisions of that part alone; they are whole numbers, equal to those counted on the decoded network. The
prediction itself has no table: no part has a share of its own in it. So a bound on it is checked, genotype by genotype.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from latency_models.forest import SUMS, Forest, feature_names
from nas.errors import InvalidInput
from nas.ops import KINDS, Kernel
from nas.protocols import CostTerm, Genotypes, SearchSpace
from nas.space.cost_table import CostTable, Term

AT_ONCE = 2048  # genotypes predicted together: their way through 100 trees takes 20 MB
RIDGE = 1.0  # of `additive`, in squares of one genotype: decides between fits that are equally good
EACH: tuple[Callable[[Kernel], int], ...] = (
    lambda kernel: 1,
    lambda kernel: kernel.macs,
    lambda kernel: kernel.weights,
    lambda kernel: kernel.reads,
    lambda kernel: kernel.writes,
    lambda kernel: kernel.out_shape.elements,
    lambda kernel: kernel.live_elements,
)  # what is counted on a kernel: `forest.SUMS`, then what the largest map and the peak of the activations come from
TIMES = np.array([0, 1, 0, 1, 1, 1, 1], bool)  # which of `EACH` count for all images of a batch


@dataclass(frozen=True, eq=False)
class ForestTable:
    """The predictions of a forest for the genotypes of one space."""

    name: str  # what people call it
    forest: Forest
    terms: tuple[Term, ...]  # over the decisions of each part, the features last: values [..., P]

    @classmethod
    def of(cls, space: SearchSpace, forest: Forest, name: str) -> "ForestTable":
        """Return the forest over `space`; each part is lowered once for every combination of its own decisions."""
        sizes = [len(decision.options) for decision in space.decisions]
        return cls(name, forest, tuple(_term(part, sizes, forest.batch) for part in space.parts))

    def features(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the features [N, P] of genotypes [N, D], as `forest.features_of` counts them on the networks."""
        columns = np.asarray(genotypes, np.intp).T
        rows = [
            term.values[tuple(columns[decision_index] for decision_index in term.decision_indices)]
            for term in self.terms
        ]
        each = np.stack([np.broadcast_to(row, (len(genotypes), len(SUMMED))) for row in rows])
        return np.where(SUMMED, each.sum(0), each.max(0))

    def score(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the predictions for genotypes [N, D] in the forest's unit, as [N]."""
        parts = [genotypes[start : start + AT_ONCE] for start in range(0, len(genotypes), AT_ONCE)]
        found = [np.exp(self.forest.logarithms(self.features(part))) for part in parts]
        return np.concatenate(found) if found else np.zeros(0)


SUMMED = np.array([name.rpartition(".")[2] in SUMS for name in feature_names()])  # the others are maxima


def _term(part: CostTerm, sizes: list[int], batch: int) -> Term:
    """Return the features of a part for every combination of its decisions."""
    shape = [sizes[decision_index] for decision_index in part.decision_indices]
    rows: list[tuple[int, ...]] = []
    genotype = [0] * len(sizes)
    for number, options in enumerate(product(*map(range, shape))):
        for decision_index, option in zip(part.decision_indices, options, strict=True):
            genotype[decision_index] = option
        for kernel in part.kernels(tuple(genotype)):
            rows.append((number, KINDS.index(kernel.kind), *(count(kernel) for count in EACH)))
    values = np.zeros((int(np.prod(shape)), len(SUMMED)))
    if rows:
        number, kind, *counts = np.array(rows, np.float64).T
        _add(
            values,
            (number.astype(np.intp), kind.astype(np.intp)),
            np.array(counts) * np.where(TIMES, batch, 1)[:, None],
        )
    return Term(part.decision_indices, values.reshape(*shape, len(SUMMED)))


def _add(
    values: NDArray[np.float64], at: tuple[NDArray[np.intp], NDArray[np.intp]], counts: NDArray[np.float64]
) -> None:
    """Add the counts [len(EACH), K] of K kernels to the features `values` [rows, P] of the parts that run them."""
    number, kind = at
    width = len(SUMS) + 1
    for i in range(len(SUMS)):
        np.add.at(values, (number, kind * width + i), counts[i])
        np.add.at(values, (number, np.full(len(number), len(KINDS) * width + i)), counts[i])
    last = np.full(len(number), len(SUMMED) - 1)
    np.maximum.at(values, (number, kind * width + len(SUMS)), counts[-2])
    np.maximum.at(values, (number, last), counts[-1])


def additive(table: ForestTable, genotypes: Genotypes, sizes: tuple[int, ...]) -> CostTable:
    """Return a cost table that follows the forest: a sum over decisions fitted to its predictions for genotypes [N, D].

    It tells a policy on which side the forest's bound lies; what keeps the bound is the check. `sizes` [D] are the
    numbers of options. Raises `InvalidInput` where there are no genotypes.
    """
    if not len(genotypes):
        raise InvalidInput(f"'{table.name}' cannot be followed: there are no architectures to predict")
    starts = np.cumsum([0, *sizes])
    columns = np.zeros((len(genotypes), starts[-1]))
    columns[np.arange(len(genotypes))[:, None], starts[:-1] + genotypes] = 1
    values = table.score(genotypes)
    mean = float(values.mean())
    squares = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    shares = np.linalg.solve(squares, columns.T @ (values - mean))
    terms = tuple(
        Term((decision_index,), shares[starts[decision_index] : starts[decision_index + 1]])
        for decision_index in range(len(sizes))
    )
    return CostTable(f"{table.name}, additive", "sum", mean, terms, tuple(sizes))
