"""Cost tables: the exact cost of whole batches of genotypes by table lookup, and its minimum and maximum over a space.

A space says which decisions each of its pieces depends on (`CostTerm`), a cost what one kernel costs and how kernels
combine: a sum, or a maximum for peak memory. `compile_table` lowers each piece once for every combination of its own
decisions, so that scoring an architecture is one lookup per term. Tables equal the slow reference `cost_of` exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
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
    """A cost that is a whole number per kernel, the same on every device."""

    name: str
    of_kernel: Callable[[Kernel], int]
    combiner: Combiner = "sum"
    constant: int = 0


MACS = Count("macs", attrgetter("macs"))
PARAMS = Count("params", attrgetter("params"))
WEIGHTS = Count("weights", attrgetter("weights"))
PEAK_ACTIVATION = Count("peak_activation_elements", attrgetter("live_elements"), "max")


def cost_of(cost: Cost, arch: ArchSpec) -> Any:
    """Return the cost of one architecture kernel by kernel: slow, and the reference that every table must equal."""
    return reduce(COMBINE[cost.combiner], (cost.of_kernel(kernel) for kernel in arch.kernels), cost.constant)


@dataclass(frozen=True)
class Term:
    """One table of a cost: `values` has one axis per decision in `scope`, indexed by the options taken there.

    `scope` holds indices of decisions in ascending order, as the scope of a factor does in a graphical model.
    """

    scope: tuple[int, ...]
    values: NDArray[Any]

    def over(self, scope: tuple[int, ...]) -> NDArray[Any]:
        """Return the values with one axis per decision of a larger, sorted `scope`: length 1 where they do not vary."""
        return self.values[tuple(slice(None) if d in self.scope else None for d in scope)]


@dataclass(frozen=True)
class CostTable:
    """One cost over one space: `score` sums (or maximises) the terms at genotypes [N, D] -> [N]."""

    name: str
    combiner: Combiner
    constant: Any
    terms: tuple[Term, ...]
    option_counts: tuple[int, ...]  # [D]

    def score(self, genotypes: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the cost of each genotype [N, D] as [N]."""
        combine = COMBINE[self.combiner]
        total = np.full(len(genotypes), self.constant)
        for values in self._of_terms(genotypes):
            total = combine(total, values)
        return total

    def excess(self, genotypes: NDArray[np.integer[Any]], bound: float) -> NDArray[np.float64]:
        """Return by how much genotypes [N, D] exceed `bound`, relative to it, as [N]; 0 where they keep it.

        For a maximum the excesses of all terms are added, so that lowering any of them counts as progress, not only
        lowering the largest.
        """
        costs = [self.score(genotypes)] if self.combiner == "sum" else self._of_terms(genotypes)
        total = np.zeros(len(genotypes))
        for values in costs:
            total += np.maximum(values / bound - 1, 0)
        return total

    def _of_terms(self, genotypes: NDArray[np.integer[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the value [N] of each term."""
        columns = np.ascontiguousarray(np.asarray(genotypes).T, dtype=np.intp)
        for term in self.terms:
            # One flat index and `take` are 1.3 times as fast as indexing with one array per axis.
            index: Any = 0
            for d, length in zip(term.scope, term.values.shape, strict=True):
                index = columns[d] if d == term.scope[0] else index * length + columns[d]
            yield np.broadcast_to(term.values.ravel().take(index), columns.shape[1:])

    def negative(self) -> "CostTable":
        """Return the table of minus this sum: an upper bound on it is a lower bound on this cost."""
        assert self.combiner == "sum"
        terms = tuple(Term(term.scope, -term.values.astype(np.float64)) for term in self.terms)
        return CostTable(f"-{self.name}", "sum", -float(self.constant), terms, self.option_counts)

    def in_units(self, name: str, unit: float) -> "CostTable":
        """Return this cost under another name, in multiples of `unit`."""
        terms = tuple(Term(term.scope, term.values / unit) for term in self.terms)
        return CostTable(name, self.combiner, self.constant / unit, terms, self.option_counts)

    def minimum(self) -> tuple[Any, Genotype]:
        """Return the smallest cost in the space and a genotype that has it, exactly, by variable elimination."""
        return self._extreme(np.min, np.argmin)

    def maximum(self) -> tuple[Any, Genotype]:
        """Return the largest cost in the space and a genotype that has it, exactly, by variable elimination."""
        return self._extreme(np.max, np.argmax)

    def _extreme(self, best: Any, arg_best: Any) -> tuple[Any, Genotype]:
        """Return the optimum and a genotype that has it: min-sum (or min-max, ...) variable elimination.

        Non-serial dynamic programming (Bertele and Brioschi 1972): decisions are eliminated one at a time. All terms
        that mention the decision are joined into one array, the array is minimised over the decision's axis, and the
        result is a new term over the other decisions of the join. This is exact because a sum and a maximum are both
        monotone in each of their terms: the best option for given other decisions stays best whatever else is chosen.
        """
        combine = COMBINE[self.combiner]
        terms, choices = list(self.terms), []
        remaining = set(range(len(self.option_counts)))
        while remaining:
            # Greedy order: the join has one axis per decision, so take the decision whose terms involve the fewest.
            # Terms of a staged space form a chain along the network, so no join gets much larger than a term.
            d = min(remaining, key=lambda i: (len({j for t in terms if i in t.scope for j in t.scope}), i))
            touching = [term for term in terms if d in term.scope]
            terms = [term for term in terms if d not in term.scope]
            remaining.remove(d)
            scope = tuple(sorted({d}.union(*(term.scope for term in touching))))
            # A decision in no term leaves the cost alone: a join of one element makes it take option 0.
            zero = np.full((1,) * len(scope), self.constant if not touching else touching[0].values.min())
            joint = reduce(combine, (term.over(scope) for term in touching)) if touching else zero
            axis, rest = scope.index(d), tuple(i for i in scope if i != d)
            # Remember the best option of `d` for every combination of the others, for the way back.
            choices.append((d, rest, arg_best(joint, axis=axis)))
            if touching:
                terms.append(Term(rest, best(joint, axis=axis)))
        # On the way back each decision looks up its option: those in `rest` were eliminated later, so they are known.
        genotype = [0] * len(self.option_counts)
        for d, rest, picks in reversed(choices):
            genotype[d] = int(picks[tuple(genotype[i] for i in rest)])
        # What is left are terms over no decision at all, one number each.
        value = reduce(combine, (term.values[()] for term in terms), self.constant)
        return value, tuple(genotype)


def compile_table(space: SearchSpace, cost: Cost) -> CostTable:
    """Return the table of `cost` over `space`: each piece is lowered once per combination of its own decisions.

    A search asks for the same few tables again and again, so those of equal spaces and costs are made once.
    """
    try:
        return _kept_table(space, cost)  # type: ignore[arg-type]  # what has no hash is a TypeError
    except TypeError:  # of values that have no hash, such as a cost of the user's
        return compile_tables(space, (cost,))[0]


@lru_cache(maxsize=64)
def _kept_table(space: SearchSpace, cost: Cost) -> CostTable:
    return compile_tables(space, (cost,))[0]


def compile_tables(space: SearchSpace, costs: Sequence[Cost]) -> tuple[CostTable, ...]:
    """Return the tables of several costs over `space`, as `compile_table` does, each piece lowered once for all."""
    counts = tuple(len(decision.options) for decision in space.decisions)
    combines = [COMBINE[cost.combiner] for cost in costs]
    dtypes = [np.int64 if isinstance(cost.constant, int) else np.float64 for cost in costs]
    terms: list[dict[tuple[int, ...], NDArray[Any]]] = [{} for _ in costs]
    for piece in space.cost_terms:
        tables = [np.zeros([counts[d] for d in piece.scope], dtype) for dtype in dtypes]
        for options in product(*(range(counts[d]) for d in piece.scope)):
            genotype = [0] * len(counts)  # decisions outside the scope do not matter
            for d, option in zip(piece.scope, options, strict=True):
                genotype[d] = option
            kernels = piece.kernels(tuple(genotype))
            for cost, combine, values in zip(costs, combines, tables, strict=True):
                values[options] = reduce(combine, [cost.of_kernel(kernel) for kernel in kernels], 0)
        # Pieces with the same scope share one table.
        for own, combine, values in zip(terms, combines, tables, strict=True):
            own[piece.scope] = combine(own[piece.scope], values) if piece.scope in own else values
    return tuple(
        CostTable(cost.name, cost.combiner, cost.constant, _merge_nested(own, combine), counts)
        for cost, own, combine in zip(costs, terms, combines, strict=True)
    )


def _merge_nested(terms: dict[tuple[int, ...], NDArray[Any]], combine: np.ufunc) -> tuple[Term, ...]:
    """Return fewer terms of the same total: each is merged into one whose scope contains its own, if there is one.

    A smaller table broadcasts into a larger one at no cost in memory, and `score` makes one lookup less.
    """
    merged: list[Term] = []
    for scope, values in sorted(terms.items(), key=lambda item: -len(item[0])):  # the largest scopes come first
        term = Term(scope, values)
        host = next((k for k, other in enumerate(merged) if set(scope) <= set(other.scope)), None)
        if host is None:
            merged.append(term)
        else:
            larger = merged[host]
            merged[host] = Term(larger.scope, combine(larger.values, term.over(larger.scope)))
    return tuple(merged)


def within(limits: Sequence[tuple[CostTable, float]], genotypes: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which of the genotypes [N, D] keep every (table, upper bound) in `limits`, as [N]."""
    kept = np.ones(len(genotypes), bool)
    for table, bound in limits:
        kept &= table.score(genotypes) <= bound
    return kept
