"""A random forest over a search space: its predictions for genotypes, with features looked up instead of decoded.

The features of a forest (latency_models/forest.py) are sums and maxima over kernels, so they follow from small tables,
one per piece of the network over the decisions of that piece; they are whole numbers, equal to those counted on the
decoded network. The prediction itself is not a sum over pieces and has no table. So a bound on it cannot be kept by
construction: it is checked, genotype by genotype.
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

BATCH = 2048  # genotypes predicted together: their way through 100 trees takes 20 MB
RIDGE = 1.0  # penalty of `additive`, as of one genotype: decides between fits that are equally good
COUNTS: tuple[Callable[[Kernel], int], ...] = (
    lambda kernel: 1,
    lambda kernel: kernel.macs,
    lambda kernel: kernel.weights,
    lambda kernel: kernel.reads,
    lambda kernel: kernel.writes,
    lambda kernel: kernel.out_shape.elements,
    lambda kernel: kernel.live_elements,
)  # counted per kernel: `forest.SUMS`, then those whose maxima are the largest feature map and the peak of activations
PER_IMAGE = np.array([0, 1, 0, 1, 1, 1, 1], bool)  # which of `COUNTS` grow with the batch size


@dataclass(frozen=True, eq=False)
class ForestTable:
    """The predictions of a forest for the genotypes of one space; scores like a cost table, but has no minimum."""

    name: str  # of the file, without its ending
    forest: Forest
    terms: tuple[Term, ...]  # one per `CostTerm`, with the P features as last axis of its values

    @classmethod
    def of(cls, space: SearchSpace, forest: Forest, name: str) -> "ForestTable":
        """Return the forest over `space`; each piece is lowered once per combination of its own decisions."""
        sizes = [len(decision.options) for decision in space.decisions]
        return cls(name, forest, tuple(_term(piece, sizes, forest.batch) for piece in space.cost_terms))

    def features(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the features [N, P] of genotypes [N, D], as `forest.features_of` counts them on the networks."""
        columns = np.asarray(genotypes, np.intp).T
        rows = [term.values[tuple(columns[d] for d in term.scope)] for term in self.terms]
        each = np.stack([np.broadcast_to(row, (len(genotypes), len(SUMMED))) for row in rows])
        return np.where(SUMMED, each.sum(0), each.max(0))

    def score(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the predictions for genotypes [N, D] in the forest's unit, as [N]."""
        batches = [genotypes[start : start + BATCH] for start in range(0, len(genotypes), BATCH)]
        found = [np.exp(self.forest.logarithms(self.features(batch))) for batch in batches]
        return np.concatenate(found) if found else np.zeros(0)


SUMMED = np.array([name.rpartition(".")[2] in SUMS for name in feature_names()])  # the others are maxima


def _term(piece: CostTerm, sizes: list[int], batch: int) -> Term:
    """Return the features of a piece of the network for every combination of its decisions."""
    shape = [sizes[d] for d in piece.scope]
    rows: list[tuple[int, ...]] = []
    genotype = [0] * len(sizes)
    for number, options in enumerate(product(*map(range, shape))):
        for d, option in zip(piece.scope, options, strict=True):
            genotype[d] = option
        for kernel in piece.kernels(tuple(genotype)):
            rows.append((number, KINDS.index(kernel.kind), *(count(kernel) for count in COUNTS)))
    values = np.zeros((int(np.prod(shape)), len(SUMMED)))
    if rows:
        number, kind, *counts = np.array(rows, np.float64).T
        _add(
            values,
            (number.astype(np.intp), kind.astype(np.intp)),
            np.array(counts) * np.where(PER_IMAGE, batch, 1)[:, None],
        )
    return Term(piece.scope, values.reshape(*shape, len(SUMMED)))


def _add(
    values: NDArray[np.float64], at: tuple[NDArray[np.intp], NDArray[np.intp]], counts: NDArray[np.float64]
) -> None:
    """Add the counts [len(COUNTS), K] of K kernels to the features `values` [rows, P], in place.

    `at` gives for each kernel its row and its kind.
    """
    # Order of the features (`forest.feature_names`): per kind the sums and the largest feature map; the sums over all
    # kinds; last the peak of the activations.
    number, kind = at
    width = len(SUMS) + 1
    for i in range(len(SUMS)):
        np.add.at(values, (number, kind * width + i), counts[i])
        np.add.at(values, (number, np.full(len(number), len(KINDS) * width + i)), counts[i])
    last = np.full(len(number), len(SUMMED) - 1)
    np.maximum.at(values, (number, kind * width + len(SUMS)), counts[-2])
    np.maximum.at(values, (number, last), counts[-1])


def additive(table: ForestTable, genotypes: Genotypes, sizes: tuple[int, ...]) -> CostTable:
    """Return an additive surrogate of the forest: one value per option of each decision, as a cost table.

    Fitted to the forest's predictions for genotypes [N, D] by ridge regression on their one-hot form. A policy learns
    from it on which side of the bound it is; the bound itself is kept by checking the forest. `sizes` [D] are the
    numbers of options. Raises `InvalidInput` where there are no genotypes.
    """
    if not len(genotypes):
        raise InvalidInput(f"'{table.name}' cannot be followed: there are no architectures to predict")
    starts = np.cumsum([0, *sizes])  # where the options of each decision begin among the one-hot columns
    columns = np.zeros((len(genotypes), starts[-1]))
    columns[np.arange(len(genotypes))[:, None], starts[:-1] + genotypes] = 1
    values = table.score(genotypes)
    mean = float(values.mean())
    squares = columns.T @ columns + RIDGE * np.eye(columns.shape[1])
    effects = np.linalg.solve(
        squares, columns.T @ (values - mean)
    )  # one-hot rows sum to D: singular but for the penalty
    terms = tuple(Term((d,), effects[starts[d] : starts[d + 1]]) for d in range(len(sizes)))
    return CostTable(f"{table.name}, additive", "sum", mean, terms, tuple(sizes))
