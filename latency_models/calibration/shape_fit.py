"""Fit of a roofline whose rates also depend on the shape of a kernel: a tree of factors on a kind-aware fit.

The kind-aware fit (`calibration.fit`) has one rate per kind of kernel, which many measurements cannot improve. Here
each kind gets a factor per size of the map, and each of those a factor per octave of output channels and kernel size.
A handful of networks cannot settle that many factors, so they are shrunk: those of shapes to that of their size, those
of sizes to that of their kind, those of kinds to a common one. Shapes that were not measured have the factor of the
next level above. The three strengths are those with the smallest mean absolute error of leave-one-out, which a linear
fit gives in closed form; where that error is not clearly below that of the kind-aware fit, its rates stay.

Sizes are powers of four in pixels (7 x 7 and 8 x 8 pixels are one size, 14 x 14 the next), of the larger of the maps
that a kernel reads and writes: a global pool writes a single pixel. Times cannot become negative: the factors are a
non-negative least-squares solution, and none of them leaves the rate of a kind by more than `LARGEST` of
`latency_models.corrections`, or makes a kernel free (`LEAST` of `calibration.fit`).

Measured by experiments/benchmarks/few_sample_latency.py. Tried on its tables and worse: one factor per kind and size
alone (it stops at 2.2 % on the ZCU102, however many networks), a ridge regression on the residuals of the kind-aware
fit (these are too small where it has fitted noise), shrinkage of rates instead of factors (8.2 against 5.2 % from 10
networks), and strengths down to a third of the weakest ones here (one draw of 20 networks in ten is off twofold).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from latency_models.calibration.fit import LARGEST_LEVERAGE, LEAST, Fit, fit
from latency_models.corrections import LARGEST, Correction
from latency_models.workload import Array, Rows, Workload
from nas.ops import KINDS

OF_KINDS = (1.0, 0.3, 0.1, 0.03, 0.01)  # strengths of the shrinkage, per level, strongest first
OF_SIZES = (3.0, 1.0, 0.3, 0.1, 0.03)
OF_SHAPES = (1.0, 0.3, 0.1)
LEAST_PRIOR = 0.1  # rates of kinds, relative to the common one, below which factors are of this rate instead
MUST_REACH = 0.9  # of the error of the kind-aware fit: there are many strengths to be lucky with
RIGIDITY = 1e-9  # of the least squares: decides between columns that are the same
MOST_SWAPS = 200  # of the active set; a problem takes about four


def fit_shapes(workload: Workload, latency_ms: Array, rows: Rows | None = None) -> Fit:
    """Return the shape-aware roofline fitted to the latencies [N] of the workload, or of its `rows` alone.

    The kind-aware fit where factors by shape do not predict clearly better. The order of the rows does not matter.
    """
    chosen = np.arange(workload.size) if rows is None else rows
    base = fit(workload, latency_ms, chosen)
    if not base.measured.any():
        return base
    by_size, by_shape = (_ShapeProblem(workload, chosen, latency_ms[chosen], base, levels) for levels in (2, 3))
    found = by_size.best(product(OF_KINDS, OF_SIZES))
    finer = by_shape.best(product(found.strengths[:1], OF_SIZES, OF_SHAPES))
    problem, best = (by_size, found) if found.error <= finer.error else (by_shape, finer)
    if best.error >= MUST_REACH * float(np.abs(base.left_out_errors).mean()):
        return base
    return problem.fitted(best)


@dataclass(frozen=True, eq=False)
class _Solution:
    """The least-squares solution of one choice of strengths."""

    strengths: tuple[float, ...]
    values: Array  # [P]
    left_out: Array  # [n] relative errors of leave-one-out

    @property
    def error(self) -> float:
        """Mean absolute error of leave-one-out."""
        return float(np.abs(self.left_out).mean())


@dataclass(frozen=True, eq=False)
class _Tree:
    """The kinds, sizes and shapes of kernels that were measured, as the levels of a tree under one root.

    Nodes are numbered root first, then level by level.
    """

    keys: tuple[Rows, ...]  # per level [nodes, columns]: kind; kind, size; kind, size, channels, kernel size
    parents: Rows  # [nodes], of the root itself
    level: Rows  # [nodes], 0 for the root
    leaf: Rows  # [K] node of the last level of each kernel

    @classmethod
    def of(cls, levels: list[Rows]) -> "_Tree":
        """Return the tree of kernels from their keys per level, [K, columns] each."""
        keys, parents, level = [], [np.zeros(1, np.intp)], [np.zeros(1, np.intp)]
        above = np.zeros(len(levels[0]), np.intp)
        start = 1
        for number, key in enumerate(levels, 1):
            found, which = np.unique(key, axis=0, return_inverse=True)
            node = start + which.ravel()
            parent = np.zeros(len(found), np.intp)
            parent[node - start] = above
            keys.append(found)
            parents.append(parent)
            level.append(np.full(len(found), number))
            above, start = node, start + len(found)
        return cls(tuple(keys), np.concatenate(parents), np.concatenate(level), above)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.parents)

    def shrinkage(self, level: int) -> Array:
        """Return the quadratic form [nodes, nodes] of the differences of the nodes of a level from their parents."""
        form = np.zeros((self.size, self.size))
        nodes = np.flatnonzero(self.level == level)
        above = self.parents[nodes]
        form[nodes, nodes] += 1
        np.add.at(form, (above, above), 1)
        form[nodes, above] -= 1
        form[above, nodes] -= 1
        return form


def _octave(values: Rows) -> Rows:
    """Return the number of binary digits of whole numbers: 1 for 1, 2 for 2 and 3, 3 for 4 to 7, ..."""
    return np.frexp(np.maximum(values, 0))[1].astype(np.intp)


@dataclass(frozen=True, eq=False)
class _ShapeProblem:
    """The measurements of a fit: n rows of a workload, their latencies, and the kind-aware fit to them.

    Factors are sought for kinds and sizes (2 levels) or for kinds, sizes and shapes (3).
    """

    workload: Workload
    rows: Rows
    latency_ms: Array
    base: Fit
    levels: int

    @cached_property
    def mine(self) -> NDArray[np.bool_]:
        """Whether a kernel [K] is of one of the rows."""
        return np.isin(self.workload.network, self.rows)

    @cached_property
    def tree(self) -> _Tree:
        """The kinds, sizes and shapes of the kernels of the rows."""
        different, which = self.workload.shapes
        seen, place = np.unique(which[self.mine], return_inverse=True)
        kind, pixels, channels, size = different[seen].T
        every = [kind, _octave(pixels) // 2, _octave(channels), size]
        tree = _Tree.of([np.column_stack(every[:count]) for count in (1, 2, 4)[: self.levels]])
        return replace(tree, leaf=tree.leaf[place])

    @cached_property
    def rates(self) -> tuple[Array, ...]:
        """Per term the rates [kinds] of which factors are sought: ms per unit of work."""
        if self.base.overlap:
            return (np.maximum(self.base.compute, LEAST_PRIOR * self.base.common[0]),)
        of_compute = np.maximum(self.base.compute, LEAST_PRIOR * self.base.common[0])
        return of_compute, np.maximum(self.base.memory, LEAST_PRIOR * self.base.common[1])

    @cached_property
    def columns(self) -> tuple[Array, Array]:
        """The relative columns [n, P] of the least squares, and their scales [P].

        Per term the factors of the nodes of the tree; last the time per kernel and the launch overhead. Only shapes
        take time; sizes, kinds and root have columns of zeros, as shapes are shrunk to them.
        """
        tree, count, median = self.tree, len(self.rows), float(np.median(self.latency_ms))
        place = np.zeros(self.workload.size, np.intp)
        place[self.rows] = np.arange(count)
        row = place[self.workload.network[self.mine]]
        macs, moved, kind = (
            array[self.mine] for array in (self.workload.macs, self.workload.bytes, self.workload.kind)
        )
        works = (np.maximum(macs, self.base.ridge * moved),) if self.base.overlap else (macs, moved)
        blocks, scales = [], []
        for work, rates in zip(works, self.rates, strict=True):
            times = np.bincount(row * tree.size + tree.leaf, work * rates[kind], count * tree.size)
            block = times.reshape(count, tree.size)
            scale = median / float(np.median(block.sum(1)))
            blocks.append(block * scale)
            scales.append(np.full(tree.size, scale))
        launches = np.bincount(row, minlength=count).astype(np.float64)
        scale = median / float(np.median(launches))
        overheads = np.column_stack([launches * scale, np.full(count, median)])
        columns = np.column_stack([*blocks, overheads]) / self.latency_ms[:, None]
        return columns, np.concatenate([*scales, [scale, median]])

    @cached_property
    def shrinkages(self) -> list[Array]:
        """The quadratic forms [P, P] of the shrinkage of each level."""
        size = self.columns[0].shape[1]
        forms = []
        for level in range(1, len(self.tree.keys) + 1):
            form, one = np.zeros((size, size)), self.tree.shrinkage(level)
            for term in range(len(self.rates)):
                place = slice(term * self.tree.size, (term + 1) * self.tree.size)
                form[place, place] = one
            forms.append(form)
        return forms

    def best(self, strengths: Iterable[tuple[float, ...]]) -> _Solution:
        """Return the solution with the smallest leave-one-out error over choices of strengths, one per level each."""
        return min(self.solutions(strengths), key=lambda solution: solution.error)

    def solutions(self, strengths: Iterable[tuple[float, ...]]) -> Iterator[_Solution]:
        """Yield the solution for each choice of strengths; each starts from the active set of the one before."""
        columns, _ = self.columns
        squares, target = columns.T @ columns, columns.sum(0)
        squares[np.diag_indices_from(squares)] += RIGIDITY
        free = np.ones(len(target), bool)
        for each in strengths:
            form = squares.copy()
            for strength, one in zip(each, self.shrinkages, strict=True):
                form += strength**2 * one
            values, factor = nonnegative(form, target, free)
            free = values > 0
            # The leverage of a measurement, with the coefficients that are 0 left out, as if they stayed there.
            solved = linalg.solve_triangular(factor, columns[:, free].T, lower=True, check_finite=False)
            leverage = np.minimum((solved**2).sum(0), LARGEST_LEVERAGE)
            yield _Solution(each, values, (columns @ values - 1) / (1 - leverage))

    def fitted(self, solution: _Solution) -> Fit:
        """Return the kind-aware fit with the rates of kinds and the corrections of a solution."""
        _, scales = self.columns
        values, size = solution.values * scales, self.tree.size
        terms = [values[term * size : (term + 1) * size] for term in range(len(self.rates))]
        common = [self.base.common[0] * np.ones(1), self.base.common[1] * np.ones(1)]
        kinds, factors = [], []
        for nodes, rates, least in zip(terms, self.rates, common, strict=False):
            own = nodes[0] * rates  # kinds that were not measured have the factor of all
            measured = self.tree.keys[0][:, 0]
            own[measured] = nodes[self.tree.level == 1] * rates[measured]
            own = np.maximum(own, LEAST * least)
            each = []
            for level in range(self.levels, 1, -1):
                kind = self.tree.keys[level - 1][:, 0]
                here = np.maximum(nodes[self.tree.level == level] * rates[kind], LEAST * least) / own[kind]
                each.append(np.clip(here, 1 / LARGEST, LARGEST))
            kinds.append(own)
            factors.append(np.concatenate(each))
        compute, memory = (kinds[0], kinds[0] * self.base.ridge) if self.base.overlap else kinds
        return replace(
            self.base,
            compute=compute,
            memory=memory,
            kernel_ms=float(values[-2]),
            launch_overhead_ms=float(values[-1]),
            left_out_errors=solution.left_out,
            corrections=self._corrections(factors[0], factors[-1]),
        )

    def _corrections(self, compute: Array, memory: Array) -> tuple[Correction, ...]:
        """Return the corrections of shapes, then of sizes, which count for shapes that were not measured."""
        keys = [key for level in self.tree.keys[:0:-1] for key in level.tolist()]
        rows = []
        for (kind, size, *shape), of_compute, of_memory in zip(keys, compute.tolist(), memory.tolist(), strict=True):
            pixels = (4**size // 2, 2 * 4**size - 1) if size else (0, 1)
            channels = (2 ** (shape[0] - 1), 2 ** shape[0] - 1) if shape else None
            rows.append(
                Correction(
                    KINDS[kind],
                    pixels,
                    channels,
                    shape[1] if shape else None,
                    float(f"{of_compute:.6g}"),
                    float(f"{of_memory:.6g}"),
                )
            )
        return tuple(rows)


def nonnegative(form: Array, target: Array, free: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the x >= 0 [P] that minimises x' form x / 2 - target x, and the Cholesky factor of its positive part.

    Block principal pivoting (Kim and Park 2011, SIAM J. Sci. Comput. 33(6)): all coefficients on the wrong side change
    sides together, from a first guess `free` [P] of the positive ones; single ones where that does not help. The
    factor is over the positive coefficients, in the lower triangle. `form` [P, P] is positive definite.
    """
    free = free.copy()
    fewest, patience = len(target) + 1, 3
    for _ in range(MOST_SWAPS):
        places = np.flatnonzero(free)
        factor = linalg.cho_factor(form[np.ix_(places, places)], lower=True, check_finite=False)[0]
        values = np.zeros(len(target))
        values[places] = linalg.cho_solve((factor, True), target[places], check_finite=False)
        wrong = (free & (values <= 0)) | (~free & (form @ values - target < -RIGIDITY))
        count = int(wrong.sum())
        if not count:
            return values, factor
        if count < fewest:
            fewest, patience = count, 3
        elif patience:
            patience -= 1
        else:  # one at a time, the last, always ends
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    values = np.maximum(values, 0)  # of a problem so ill conditioned that rounding errors decide
    places = np.flatnonzero(values)
    return values, np.asarray(np.linalg.cholesky(form[np.ix_(places, places)]), np.float64)
