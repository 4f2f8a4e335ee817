"""Fit of a kind-aware roofline to few measured latencies: non-negative least squares on relative error.

Two forms compete. Without overlap, a kernel takes MACs x a coefficient of its kind + bytes x another; with overlap, the
larger of MACs and ridge x bytes, times a coefficient of its kind, for a sweep of ridge points. Both add a time per
kernel and a floor. The coefficients of the kinds are pulled towards a common one, that of Eq. 1 of arXiv 2404.10518,
which is fitted along. Form, ridge point and strength of the pull are those with the smallest mean absolute error of
leaving one out, which a linear fit gives in closed form; so with many measurements the pull fades by itself.

Of kinds that do the same work in every network, stems say, only the sum of their time and the floor is known. They get
the common rate, and the floor what is left (see `Fit.settled`): no measured network is predicted otherwise by that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import PER_MS, Roofline
from latency_models.workload import Array, Rows, Workload
from nas.ops import KINDS

ZOOMS, ZOOM_RIDGES = 2, 4  # sweeps between the neighbours of the best so far
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # pull per unit of relative error; 3 is the plain roofline
LEAST = 1e-3  # the smallest coefficient of a kind relative to the mean one: no kind is ever free
OVERLAP_MUST_REACH = 0.8  # of the error without overlap: it has many ridge points to be lucky with
SAME = 1e-9  # the relative spread below which the work of a kind is the same in all networks
LEAST_TERM = 1e-4  # the smallest share of the median latency that compute or memory takes
MANY = 100  # measurements from where a fit works on their triangular factor
LARGEST_LEVERAGE = 0.999  # of a measurement in the closed form of leave-one-out


@dataclass(frozen=True, eq=False)
class Fit:
    """The coefficients of a kind-aware roofline, and what its choice was based on."""

    overlap: bool
    common: tuple[float, float]  # ms per MAC and ms per byte of all measured kernels together
    compute: Array  # ms per MAC [kinds]; that of a kind without measurement is the common one
    memory: Array  # ms per byte [kinds]
    kernel_ms: float
    floor_ms: float
    strength: float
    left_out_errors: Array  # [N] relative, (predicted - measured) / measured, each without its own measurement
    measured: NDArray[np.bool_]  # [kinds] whether any network has kernels of the kind
    has_macs: NDArray[np.bool_]  # [kinds] whether these multiply

    @property
    def at_bound(self) -> NDArray[np.bool_]:
        """Measured kinds [kinds] to which no time is attributed: every term that they have work in is the least."""
        terms = (self.compute / self.common[0], self.has_macs), (self.memory / self.common[1], True)
        least = [(relative < 1.01 * LEAST) | ~np.broadcast_to(counts, relative.shape) for relative, counts in terms]
        return np.asarray(self.measured & least[0] & least[1])

    def settled(self, workload: Workload, rows: Rows, priors: tuple[Array, Array]) -> "Fit":
        """Return this fit with kinds of the same work in all networks `rows` at the common rate, as far as it goes.

        What they took beyond it goes to the floor; what they took less comes from there, and where the floor is too
        small for all of it, all of them get a part. `priors` [kinds] are the rates relative to the common one.
        """
        terms = [(workload.work(self.ridge), self.compute, self.common[0] * priors[0])]
        if not self.overlap:
            terms = [
                (workload.work(0.0), self.compute, self.common[0] * priors[0]),
                (workload.traffic, self.memory, self.common[1] * priors[1]),
            ]
        moves = []
        for work, rates, common in terms:
            mine = work[rows]
            same = mine.any(0) & (np.ptp(mine, axis=0) <= SAME * mine.max(0))
            moves.append((same * (common - rates), mine[0]))
        gained = sum(float(-np.minimum(move, 0) @ work) for move, work in moves)
        needed = sum(float(np.maximum(move, 0) @ work) for move, work in moves)
        share = min(1.0, (self.floor_ms + gained) / needed) if needed else 1.0
        compute, *memory = [
            rates + np.where(move > 0, share * move, move)
            for (_, rates, _), (move, _) in zip(terms, moves, strict=True)
        ]
        return replace(
            self,
            compute=compute,
            memory=memory[0] if memory else compute * self.ridge,
            floor_ms=max(0.0, self.floor_ms + gained - share * needed),
        )

    @property
    def ridge(self) -> float:
        """MACs per byte at which the common terms are equal."""
        return self.common[1] / self.common[0]

    def predict(self, workload: Workload) -> Array:
        """Return the latencies [N] in ms."""
        launches = self.kernel_ms * workload.launches.sum(1) + self.floor_ms
        if self.overlap:
            return np.asarray(workload.work(self.ridge) @ self.compute + launches)
        return np.asarray(workload.work(0.0) @ self.compute + workload.traffic @ self.memory + launches)

    def roofline(self, template: Roofline) -> Roofline:
        """Return the model with the byte widths of `template`."""
        of_peak = self.common[0] / self.compute
        of_bandwidth = self.common[1] / self.memory / of_peak
        kinds = [(kind, place) for place, kind in enumerate(KINDS) if kind not in template.free_kinds]
        return replace(
            template,
            peak_gmacs_per_s=1 / (self.common[0] * PER_MS),
            bandwidth_gb_per_s=1 / (self.common[1] * PER_MS),
            floor_ms=self.floor_ms,
            time_per_kernel_us=self.kernel_ms * 1e3,
            kind_efficiency=tuple((kind, float(of_peak[place])) for kind, place in kinds),
            kind_memory_efficiency=()
            if self.overlap
            else tuple((kind, float(of_bandwidth[place])) for kind, place in kinds),
            overlap=self.overlap,
        )


@dataclass(frozen=True)
class _Block:
    """Columns of one term: of every kind that does such work, with the prior of each relative to their common one."""

    places: Rows  # in KINDS
    total: Array  # [places] work of all networks
    columns: Array  # [n, places], prior times work / latency x scale
    scale: float  # ms per unit of work at which the term alone explains the median latency
    prior: Array

    def coefficients(self, values: Array, priors: Array) -> tuple[float, Array]:
        """Return the time per unit of work of all kernels together, and of each kind [kinds], from scaled values."""
        own = values * self.scale * self.prior
        mean, least = float(own @ self.total / self.total.sum()), LEAST_TERM * self.scale
        if mean < least:  # nothing is attributed to such work
            return least, least * priors
        result = mean * priors
        result[self.places] = np.maximum(own, LEAST * mean)
        return mean, result


@dataclass(frozen=True)
class _Solution:
    error: float
    ridge: float | None  # None without overlap
    strength: float
    blocks: tuple[_Block, ...]
    values: Array  # common of each block, kinds of each block, kernel, floor, in units of the scales
    left_out: Array


@dataclass(frozen=True)
class _Problem:
    """The measurements of a fit: rows of a workload and their latencies [n]."""

    workload: Workload
    rows: Rows
    latency_ms: Array
    priors: tuple[Array, Array]  # [kinds] time per MAC and per byte relative to the common one that the pull leads to
    launches: Array  # [n]

    @property
    def median_ms(self) -> float:
        """Median of the latencies."""
        return float(np.median(self.latency_ms))

    def block(self, work: Array, prior: Array) -> _Block:
        """Return the columns of a term from its work [N, kinds]."""
        mine = work[self.rows]
        places = np.flatnonzero(mine.any(0))
        weighted = mine[:, places] * prior[places]
        scale = self.median_ms / float(np.median(weighted.sum(1)))
        return _Block(places, mine[:, places].sum(0), weighted * scale / self.latency_ms[:, None], scale, prior[places])

    def blocks(self, ridge: float | None) -> tuple[_Block, ...]:
        """Return the terms of one form: the larger of compute and memory at a ridge point, or both."""
        if ridge is not None:
            return (self.block(self.workload.work(ridge), self.priors[0]),)
        return self.block(self.workload.work(0.0), self.priors[0]), self.block(self.workload.traffic, self.priors[1])

    @property
    def overheads(self) -> Array:
        """Columns [n, 2] of the time per kernel and the floor."""
        scaled = self.launches / np.median(self.launches)
        return np.column_stack([scaled, np.ones(len(scaled))]) * self.median_ms / self.latency_ms[:, None]

    def solve(self, ridge: float | None) -> Iterator[_Solution]:
        """Yield the solution of one form for every strength."""
        blocks = self.blocks(ridge)
        owner = np.repeat(np.arange(len(blocks)), [len(block.places) for block in blocks])
        commons = np.zeros((len(self.rows), len(blocks)))  # what the kinds are pulled towards takes no time itself
        columns = np.column_stack([commons, *(block.columns for block in blocks), self.overheads])
        pull = np.zeros((len(owner), columns.shape[1]))
        pull[np.arange(len(owner)), owner] = -1
        pull[:, len(blocks) : len(blocks) + len(owner)] = np.eye(len(owner))
        found = relative_least_squares(columns, pull, STRENGTHS)
        for strength, (values, left_out) in zip(STRENGTHS, found, strict=True):
            yield _Solution(float(np.abs(left_out).mean()), ridge, strength, blocks, values, left_out)


def relative_least_squares(
    columns: Array, pull: Array | None = None, strengths: Sequence[float] = (0.0,)
) -> Iterator[tuple[Array, Array]]:
    """Yield for every strength non-negative coefficients [P] with `columns` [n, P] x them near 1, and errors [n].

    `columns` are divided by the measured values already; the rows of `pull` [m, P] times the strength are drawn to 0.
    The errors are those of leaving one out, for the coefficients that are not 0, as if the others were no part of it.
    """
    from scipy.optimize import nnls

    count, size = columns.shape
    sampled = np.zeros((0, size)) if pull is None else pull
    rows, requested = columns, np.ones(count)
    if count > MANY:
        triangle = np.asarray(np.linalg.qr(np.column_stack([columns, requested]), mode="r"))
        rows, requested = triangle[:, :-1], triangle[:, -1]  # the same squares in fewer rows
    requested = np.concatenate([requested, np.zeros(len(sampled))])
    for strength in strengths:
        stacked = np.concatenate([rows, strength * sampled])
        values = nnls(stacked, requested, maxiter=100 * size)[0]
        active = stacked[:, values > 0]
        full = count <= MANY
        basis = np.linalg.qr(active)[0][:count] if full else columns[:, values > 0] @ np.linalg.pinv(active)
        leverage = np.minimum((basis**2).sum(1), LARGEST_LEVERAGE)
        yield values, (columns @ values - 1) / (1 - leverage)


def fit(workload: Workload, latency_ms: Array, rows: Rows | None = None) -> Fit:
    """Return the kind-aware roofline fitted to the latencies [N] of the workload, or of its `rows` alone."""
    chosen = np.arange(workload.size) if rows is None else rows
    launches = workload.launches[chosen]
    of_peak, of_bandwidth = efficiencies(workload.template)
    problem = _Problem(workload, chosen, latency_ms[chosen], (1 / of_peak, 1 / of_bandwidth), launches.sum(1))
    best = _best(problem)
    terms, start = [], len(best.blocks)
    for prior, block in zip(problem.priors, best.blocks, strict=False):  # with overlap there is one block
        terms.append(block.coefficients(best.values[start : start + len(block.places)], prior))
        start += len(block.places)
    if best.ridge is not None:
        terms.append((terms[0][0] * best.ridge, terms[0][1] * best.ridge))
    (common_compute, compute), (common_memory, memory) = terms
    found = Fit(
        overlap=best.ridge is not None,
        common=(common_compute, common_memory),
        compute=compute,
        memory=memory,
        kernel_ms=float(best.values[-2]) * problem.median_ms / float(np.median(problem.launches)),
        floor_ms=float(best.values[-1]) * problem.median_ms,
        strength=best.strength,
        left_out_errors=best.left_out,
        measured=np.asarray(launches.any(0)),
        has_macs=np.asarray(workload.work(0.0)[chosen].any(0)),
    )
    return found.settled(workload, chosen, problem.priors)


def efficiencies(model: Roofline) -> tuple[Array, Array]:
    """Return the shares of peak and of bandwidth that kernels of each kind reach, [kinds] each."""
    of_peak, of_bandwidth = np.array([model.efficiencies[kind] for kind in KINDS]).T
    return of_peak, of_bandwidth


def _best(problem: _Problem) -> _Solution:
    """Return the solution of least leave-one-out error; the ridge point is refined between its neighbours."""
    apart = _sweep(problem, [None])
    swept = problem.workload.ridges()
    best = _sweep(problem, swept)
    for _ in range(ZOOMS if len(swept) > 1 else 0):
        assert best.ridge is not None  # all of these overlap
        place = int(np.searchsorted(swept, best.ridge))
        low, high = swept[max(place - 1, 0)], swept[min(place + 1, len(swept) - 1)]
        swept = np.unique(np.append(np.geomspace(low, high, ZOOM_RIDGES), best.ridge))
        best = min(best, _sweep(problem, swept), key=lambda solution: solution.error)
    return best if best.error < OVERLAP_MUST_REACH * apart.error else apart


def _sweep(problem: _Problem, ridges: Iterable[float | None]) -> _Solution:
    found = (solution for ridge in ridges for solution in problem.solve(ridge))
    return min(found, key=lambda solution: solution.error)
