"""Costs of architectures: the reference path over kernels, and cost tables that score whole batches, equal by law.

A space says which decisions each part of the network depends on; a cost says what a kernel costs and how kernels
combine (a sum, or a maximum for peak memory). Together they compile to small arrays, one lookup each per candidate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops import Kernel
from nas.protocols import Combiner, Cost, Genotype, SearchSpace

COMBINE: dict[Combiner, np.ufunc] = {"sum": np.add, "max": np.maximum}


@dataclass(frozen=True)
class Count:
    """A cost counted in whole numbers on the kernels themselves."""

    name: str
    of_kernel: Callable[[Kernel], int]
    combiner: Combiner = "sum"
    constant: int = 0


MACS = Count("macs", attrgetter("macs"))
PARAMS = Count("params", attrgetter("params"))
WEIGHTS = Count("weights", attrgetter("weights"))
PEAK_ACTIVATION = Count("peak_activation_elements", attrgetter("live_elements"), "max")


def cost_of(cost: Cost, arch: ArchSpec) -> Any:
    """Return the cost of one architecture by walking its kernels: slow, obvious, right."""
    return reduce(COMBINE[cost.combiner], (cost.of_kernel(kernel) for kernel in arch.kernels), cost.constant)


@dataclass(frozen=True)
class Term:
    """An array over the options of `decision_indices`, one axis each: what the parts that depend on just these add to the cost."""

    decision_indices: tuple[int, ...]
    values: NDArray[Any]

    def over(self, decision_indices: tuple[int, ...]) -> NDArray[Any]:
        """Return the values with axes for all of the sorted `decision_indices`, of length 1 where this term does not depend."""
        index = tuple(
            slice(None) if decision_index in self.decision_indices else None for decision_index in decision_indices
        )
        return self.values[index]


@dataclass(frozen=True)
class CostTable:
    """One cost over one space: `score` sums (or maximises) the terms at genotypes [N, D] -> [N]."""

    name: str
    combiner: Combiner
    constant: Any
    terms: tuple[Term, ...]
    option_counts: tuple[int, ...]

    def score(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the cost of each genotype [N, D] as [N]."""
        combine = COMBINE[self.combiner]
        total = np.full(len(genotypes), self.constant)
        for values in self._of_terms(genotypes):
            total = combine(total, values)
        return total

    def excess(self, genotypes: NDArray[np.integer[Any]], bound: float) -> NDArray[np.float64]:
        """Return by how much genotypes [N, D] exceed `bound`, relative to it, as [N]; 0 where they keep it.

        Of a maximum, the excesses of all terms are added: each that shrinks counts, not the largest alone.
        """
        parts = [self.score(genotypes)] if self.combiner == "sum" else self._of_terms(genotypes)
        total = np.zeros(len(genotypes))
        for part in parts:
            total += np.maximum(part / bound - 1, 0)
        return total

    def _of_terms(self, genotypes: NDArray[np.integer[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the value [N] of each term."""
        columns = np.ascontiguousarray(np.asarray(genotypes).T, dtype=np.intp)
        for term in self.terms:
            index: Any = 0
            for decision_index, length in zip(term.decision_indices, term.values.shape, strict=True):
                index = (
                    columns[decision_index]
                    if decision_index == term.decision_indices[0]
                    else index * length + columns[decision_index]
                )
            yield np.broadcast_to(term.values.ravel().take(index), columns.shape[1:])

    def negative(self) -> "CostTable":
        """Return the table of the negative of a sum, under whose name an upper bound is a lower one on this cost."""
        assert self.combiner == "sum"
        terms = tuple(Term(term.decision_indices, -term.values.astype(np.float64)) for term in self.terms)
        return CostTable(f"-{self.name}", "sum", -float(self.constant), terms, self.option_counts)

    def in_units(self, name: str, unit: float) -> "CostTable":
        """Return this cost under another name, in multiples of `unit`."""
        terms = tuple(Term(term.decision_indices, term.values / unit) for term in self.terms)
        return CostTable(name, self.combiner, self.constant / unit, terms, self.option_counts)

    def minimum(self) -> tuple[Any, Genotype]:
        """Return the smallest cost in the space and a genotype that has it, exactly, gene by gene."""
        return self._extreme(np.min, np.argmin)

    def maximum(self) -> tuple[Any, Genotype]:
        """Return the largest cost in the space and a genotype that has it."""
        return self._extreme(np.max, np.argmax)

    def _extreme(self, best: Any, arg_best: Any) -> tuple[Any, Genotype]:
        combine = COMBINE[self.combiner]
        terms, choices = list(self.terms), []
        remaining = set(range(len(self.option_counts)))
        while remaining:  # the gene whose elimination couples the fewest others goes first
            decision_index = min(
                remaining,
                key=lambda g: (len({h for t in terms if g in t.decision_indices for h in t.decision_indices}), g),
            )
            touching = [term for term in terms if decision_index in term.decision_indices]
            terms = [term for term in terms if decision_index not in term.decision_indices]
            remaining.remove(decision_index)
            decision_indices = tuple(sorted({decision_index}.union(*(term.decision_indices for term in touching))))
            zero = np.full((1,) * len(decision_indices), self.constant if not touching else touching[0].values.min())
            joint = reduce(combine, (term.over(decision_indices) for term in touching)) if touching else zero
            axis, rest = (
                decision_indices.index(decision_index),
                tuple(g for g in decision_indices if g != decision_index),
            )
            choices.append((decision_index, rest, arg_best(joint, axis=axis)))
            if touching:
                terms.append(Term(rest, best(joint, axis=axis)))
        genotype = [0] * len(self.option_counts)
        for decision_index, rest, picks in reversed(choices):
            genotype[decision_index] = int(picks[tuple(genotype[g] for g in rest)])
        value = reduce(combine, (term.values[()] for term in terms), self.constant)
        return value, tuple(genotype)


def compile_table(space: SearchSpace, cost: Cost) -> CostTable:
    """Return the table of `cost` over `space`; each part is lowered once for every combination of its own decisions."""
    counts = tuple(len(decision.options) for decision in space.decisions)
    combine = COMBINE[cost.combiner]
    dtype = np.int64 if isinstance(cost.constant, int) else np.float64
    terms: dict[tuple[int, ...], NDArray[Any]] = {}
    for part in space.parts:
        values = np.zeros([counts[decision_index] for decision_index in part.decision_indices], dtype)
        for options in product(*(range(counts[decision_index]) for decision_index in part.decision_indices)):
            genotype = [0] * len(counts)
            for decision_index, option in zip(part.decision_indices, options, strict=True):
                genotype[decision_index] = option
            costs = [cost.of_kernel(kernel) for kernel in part.kernels(tuple(genotype))]
            values[options] = reduce(combine, costs, 0)
        terms[part.decision_indices] = (
            combine(terms[part.decision_indices], values) if part.decision_indices in terms else values
        )
    return CostTable(cost.name, cost.combiner, cost.constant, _absorbed(terms, combine), counts)


def _absorbed(terms: dict[tuple[int, ...], NDArray[Any]], combine: np.ufunc) -> tuple[Term, ...]:
    """Return the terms with each one merged into a larger one over a superset of its genes, if there is one."""
    merged: list[Term] = []
    for decision_indices, values in sorted(terms.items(), key=lambda item: -len(item[0])):
        term = Term(decision_indices, values)
        host = next((k for k, other in enumerate(merged) if set(decision_indices) <= set(other.decision_indices)), None)
        if host is None:
            merged.append(term)
        else:
            larger = merged[host]
            merged[host] = Term(larger.decision_indices, combine(larger.values, term.over(larger.decision_indices)))
    return tuple(merged)


def within(limits: Sequence[tuple[CostTable, float]], genotypes: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which of the genotypes [N, D] keep every (table, upper bound) in `limits`, as [N]."""
    kept = np.ones(len(genotypes), bool)
    for table, bound in limits:
        kept &= table.score(genotypes) <= bound
    return kept
