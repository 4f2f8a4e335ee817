"""Fit of a kind-aware roofline to few measured latencies: non-negative least squares on relative error.

Two forms compete. Without overlap, a kernel takes MACs x a coefficient of its kind + bytes x another; with overlap, the
larger of MACs and ridge x bytes, times a coefficient of its kind, for a sweep of ridge points. Both add a time per
kernel and a launch overhead per batch.

A handful of measurements cannot settle a coefficient for every kind of kernel. So the coefficients are shrunk towards a
common one, that of the plain roofline (Eq. 1 of arXiv 2404.10518), which is fitted along. Form, ridge point and
strength of the shrinkage are those with the smallest mean absolute error of leave-one-out, which a linear fit
gives in closed form; so with many measurements the shrinkage fades by itself.

Of kinds that do the same work in every network, stems for instance, only the sum of their time and the launch overhead
can be known. They get the common rate, and the overhead what is left (see `Fit.settle_constant_kinds`): no
measured network is predicted differently by that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from latency_models.corrections import Correction, FactorTable
from latency_models.roofline import PER_MS, Roofline
from latency_models.workload import Array, Rows, Workload
from nas.ops import KINDS

ZOOMS, ZOOM_RIDGES = 2, 4  # further sweeps of the ridge point, between the neighbours of the best so far
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the shrinkage; 3 is as good as the plain roofline
LEAST = 1e-3  # the smallest coefficient of a kind relative to the mean one: no kind is ever free
OVERLAP_MUST_REACH = 0.8  # of the error without overlap: it has many ridge points to be lucky with
SAME = 1e-9  # the relative spread below which the work of a kind is the same in all networks
LEAST_TERM = 1e-4  # the smallest share of the median latency that compute or memory takes
MANY = 100  # measurements from where a fit works on their triangular factor
LARGEST_LEVERAGE = 0.999  # of a measurement in the closed form of leave-one-out


@dataclass(frozen=True, eq=False)
class Fit:
    """The coefficients of a kind-aware roofline, and the cross-validation that they were chosen by."""

    overlap: bool
    common: tuple[float, float]  # ms per MAC and ms per byte of all measured kernels together
    compute: Array  # ms per MAC [kinds]; that of a kind without measurement is the common one
    memory: Array  # ms per byte [kinds]
    kernel_ms: float
    launch_overhead_ms: float
    strength: float  # of the shrinkage
    left_out_errors: Array  # [N] relative, (predicted - measured) / measured, each without its own measurement
    measured: NDArray[np.bool_]  # [kinds] whether any network has kernels of the kind
    has_macs: NDArray[np.bool_]  # [kinds] whether these multiply
    corrections: tuple[Correction, ...] = ()  # of the times by the shape of a kernel: `calibration.shape_fit`

    @property
    def at_bound(self) -> NDArray[np.bool_]:
        """Measured kinds [kinds] to which no time is attributed: all their coefficients are at the lower bound."""
        terms = (self.compute / self.common[0], self.has_macs), (self.memory / self.common[1], True)
        least = [(relative < 1.01 * LEAST) | ~np.broadcast_to(counts, relative.shape) for relative, counts in terms]
        return np.asarray(self.measured & least[0] & least[1])

    def settle_constant_kinds(self, workload: Workload, rows: Rows, priors: tuple[Array, Array]) -> "Fit":
        """Return this fit with kinds of the same work in all networks `rows` at the common rate, as far as it goes.

        The time that they took beyond it goes to the launch overhead, and the time that they took less comes from
        there; where the overhead is too small for all of it, each kind gets the same share of what it lacks. `priors`
        [kinds] are the rates relative to the common one.
        """
        # Per term its work [N, kinds], its rates [kinds] and the common rates [kinds]; with overlap there is one term.
        terms = [(workload.work(self.ridge), self.compute, self.common[0] * priors[0])]
        if not self.overlap:
            terms = [
                (workload.work(0.0), self.compute, self.common[0] * priors[0]),
                (workload.traffic, self.memory, self.common[1] * priors[1]),
            ]
        # By how much the rates of the constant kinds would have to change, and the work that every network does there.
        moves = []
        for work, rates, common in terms:
            mine = work[rows]
            same = mine.any(0) & (np.ptp(mine, axis=0) <= SAME * mine.max(0))
            moves.append((same * (common - rates), mine[0]))
        gained = sum(float(-np.minimum(move, 0) @ work) for move, work in moves)
        needed = sum(float(np.maximum(move, 0) @ work) for move, work in moves)
        share = min(1.0, (self.launch_overhead_ms + gained) / needed) if needed else 1.0
        compute, *memory = [
            rates + np.where(move > 0, share * move, move)
            for (_, rates, _), (move, _) in zip(terms, moves, strict=True)
        ]
        return replace(
            self,
            compute=compute,
            memory=memory[0] if memory else compute * self.ridge,
            launch_overhead_ms=max(0.0, self.launch_overhead_ms + gained - share * needed),
        )

    @property
    def ridge(self) -> float:
        """Ridge point in MACs per byte, at which the common compute and memory times are equal."""
        return self.common[1] / self.common[0]

    def predict(self, workload: Workload) -> Array:
        """Return the latencies [N] in ms."""
        launches = self.kernel_ms * workload.launches.sum(1) + self.launch_overhead_ms
        if self.corrections:
            return np.asarray(workload.per_kind(self.work_ms(workload)).sum(1) + launches)
        if self.overlap:
            return np.asarray(workload.work(self.ridge) @ self.compute + launches)
        return np.asarray(workload.work(0.0) @ self.compute + workload.traffic @ self.memory + launches)

    def work_ms(self, workload: Workload) -> Array:
        """Return the time [K] of each kernel without its launch."""
        of_compute, of_memory = workload.factors(FactorTable(self.corrections)).T
        compute = workload.macs * self.compute[workload.kind] * of_compute
        memory = workload.bytes * self.memory[workload.kind] * of_memory
        return np.asarray(np.maximum(compute, memory) if self.overlap else compute + memory)

    def unmeasured_shares(self, workload: Workload) -> Array:
        """Return the share [N] of the latency in kernels of shapes that have no correction of the finest kind."""
        table, (different, which) = FactorTable(self.corrections), workload.shapes
        unknown = np.array([not table.measured_at(KINDS[kind], *shape) for kind, *shape in different.tolist()])[which]
        times = workload.per_kind((self.work_ms(workload) + self.kernel_ms) * unknown).sum(1)
        return np.asarray(times / self.predict(workload))

    def roofline(self, template: Roofline) -> Roofline:
        """Return the latency model of this fit, with the byte widths of `template`."""
        of_peak = self.common[0] / self.compute
        of_bandwidth = self.common[1] / self.memory / of_peak
        kinds = [(kind, place) for place, kind in enumerate(KINDS) if kind not in template.free_kinds]
        return replace(
            template,
            peak_gmacs_per_s=1 / (self.common[0] * PER_MS),
            bandwidth_gb_per_s=1 / (self.common[1] * PER_MS),
            launch_overhead_ms=self.launch_overhead_ms,
            time_per_kernel_us=self.kernel_ms * 1e3,
            kind_efficiency=tuple((kind, float(of_peak[place])) for kind, place in kinds),
            kind_memory_efficiency=()
            if self.overlap
            else tuple((kind, float(of_bandwidth[place])) for kind, place in kinds),
            overlap=self.overlap,
            corrections=self.corrections,
        )


@dataclass(frozen=True)
class _TermColumns:
    """The columns of one term in the least squares, one per kind that does such work, scaled to comparable size."""

    places: Rows  # of these kinds in KINDS
    total: Array  # [places] work of all networks
    columns: Array  # [n, places], prior times work / latency x scale
    scale: float  # ms per unit of work at which the term alone explains the median latency
    prior: Array  # [places] rate of each kind relative to the common one

    def coefficients(self, values: Array, priors: Array) -> tuple[float, Array]:
        """Return the time per unit of work of all kernels together, and of each kind [kinds], from scaled values."""
        own = values * self.scale * self.prior
        mean, least = float(own @ self.total / self.total.sum()), LEAST_TERM * self.scale
        if mean < least:  # nothing is attributed to such work
            return least, least * priors
        result = mean * priors  # kinds without a measurement
        result[self.places] = np.maximum(own, LEAST * mean)
        return mean, result


@dataclass(frozen=True)
class _Solution:
    """The least-squares solution of one form, ridge point and strength of shrinkage."""

    error: float  # mean absolute error of leave-one-out
    ridge: float | None  # None without overlap
    strength: float
    terms: tuple[_TermColumns, ...]
    values: Array  # common of each term, kinds of each term, kernel, launch overhead, in units of the scales
    left_out: Array


@dataclass(frozen=True)
class _FitProblem:
    """The measurements of a fit: n rows of a workload and their latencies."""

    workload: Workload
    rows: Rows
    latency_ms: Array
    priors: tuple[Array, Array]  # [kinds] time per MAC and per byte relative to the common one, to which they shrink
    launches: Array  # [n]

    @cached_property
    def median_ms(self) -> float:
        """Median of the latencies."""
        return float(np.median(self.latency_ms))

    def term(self, work: Array, prior: Array) -> _TermColumns:
        """Return the columns of a term from its work [N, kinds]."""
        mine = work[self.rows]
        places = np.flatnonzero(mine.any(0))
        weighted = mine[:, places] * prior[places]
        scale = self.median_ms / float(np.median(weighted.sum(1)))
        columns = weighted * scale / self.latency_ms[:, None]
        return _TermColumns(places, mine[:, places].sum(0), columns, scale, prior[places])

    def terms(self, ridge: float | None) -> tuple[_TermColumns, ...]:
        """Return the terms of one form: the larger of compute and memory at a ridge point, or both apart."""
        if ridge is not None:
            return (self.term(self.workload.work(ridge), self.priors[0]),)
        return self.term(self.workload.work(0.0), self.priors[0]), self.term(self.workload.traffic, self.priors[1])

    @property
    def overheads(self) -> Array:
        """Columns [n, 2] of the time per kernel and the launch overhead."""
        scaled = self.launches / np.median(self.launches)
        return np.column_stack([scaled, np.ones(len(scaled))]) * self.median_ms / self.latency_ms[:, None]

    def solve(self, ridge: float | None) -> Iterator[_Solution]:
        """Yield the solution of one form for every strength of the shrinkage.

        Unknowns: a common coefficient per term, the coefficients of its kinds, the time per kernel, the launch
        overhead. The common coefficients have columns of zeros, as they take no time themselves; the shrinkage rows,
        (coefficient of a kind - common coefficient of its term) = 0, tie the kinds to them.
        """
        terms = self.terms(ridge)
        owner = np.repeat(np.arange(len(terms)), [len(term.places) for term in terms])  # term of each kind's column
        commons = np.zeros((len(self.rows), len(terms)))
        columns = np.column_stack([commons, *(term.columns for term in terms), self.overheads])
        shrinkage = np.zeros((len(owner), columns.shape[1]))
        shrinkage[np.arange(len(owner)), owner] = -1
        shrinkage[:, len(terms) : len(terms) + len(owner)] = np.eye(len(owner))
        found = relative_least_squares(columns, shrinkage, STRENGTHS)
        for strength, (values, left_out) in zip(STRENGTHS, found, strict=True):
            yield _Solution(float(np.abs(left_out).mean()), ridge, strength, terms, values, left_out)


def relative_least_squares(
    columns: Array, shrinkage: Array | None = None, strengths: Sequence[float] = (0.0,)
) -> Iterator[tuple[Array, Array]]:
    """Yield for every strength non-negative coefficients [P] with `columns` [n, P] @ them near 1, and errors [n].

    `columns` are divided by the measured values already, so the errors are relative. The rows of `shrinkage` [m, P]
    times the strength are pulled towards 0. The errors are those of leave-one-out.
    """
    count, size = columns.shape
    penalty = np.zeros((0, size)) if shrinkage is None else shrinkage
    rows, targets = columns, np.ones(count)
    # With many measurements, the triangular factor of [columns, targets] has the same sum of squares for every
    # coefficient vector, in P + 1 rows.
    if count > MANY:
        triangle = np.asarray(np.linalg.qr(np.column_stack([columns, targets]), mode="r"))
        rows, targets = triangle[:, :-1], triangle[:, -1]
    targets = np.concatenate([targets, np.zeros(len(penalty))])
    for strength in strengths:
        stacked = np.concatenate([rows, strength * penalty])
        values = nnls(stacked, targets, maxiter=100 * size)[0]
        # Leave-one-out in closed form: of a linear least-squares fit the error without measurement i is its residual
        # over 1 - h_i, with the leverage h_i on the diagonal of the hat matrix. Coefficients that the constraint holds
        # at 0 are left out, as if they stayed there.
        active = stacked[:, values > 0]
        full = count <= MANY
        basis = np.linalg.qr(active)[0][:count] if full else columns[:, values > 0] @ np.linalg.pinv(active)
        leverage = np.minimum((basis**2).sum(1), LARGEST_LEVERAGE)
        yield values, (columns @ values - 1) / (1 - leverage)


def fit(workload: Workload, latency_ms: Array, rows: Rows | None = None) -> Fit:
    """Return the kind-aware roofline fitted to the latencies [N] of the workload, or of its `rows` alone."""
    chosen = np.arange(workload.size) if rows is None else rows
    key = chosen.tobytes(), latency_ms[chosen].tobytes()
    if key not in workload.fits:
        workload.fits[key] = _fit(workload, latency_ms, chosen)
    found: Fit = workload.fits[key]
    return found


def _fit(workload: Workload, latency_ms: Array, chosen: Rows) -> Fit:
    """Return the kind-aware roofline fitted to the latencies [N] of some rows."""
    launches = workload.launches[chosen]
    of_peak, of_bandwidth = efficiencies(workload.template)
    problem = _FitProblem(workload, chosen, latency_ms[chosen], (1 / of_peak, 1 / of_bandwidth), launches.sum(1))
    best = _best(problem)
    # Back from scaled values to ms per MAC and per byte: behind the common ones come the kinds of each term.
    rates, start = [], len(best.terms)
    for prior, term in zip(problem.priors, best.terms, strict=False):  # with overlap there is one term
        rates.append(term.coefficients(best.values[start : start + len(term.places)], prior))
        start += len(term.places)
    if best.ridge is not None:
        rates.append((rates[0][0] * best.ridge, rates[0][1] * best.ridge))
    (common_compute, compute), (common_memory, memory) = rates
    found = Fit(
        overlap=best.ridge is not None,
        common=(common_compute, common_memory),
        compute=compute,
        memory=memory,
        kernel_ms=float(best.values[-2]) * problem.median_ms / float(np.median(problem.launches)),
        launch_overhead_ms=float(best.values[-1]) * problem.median_ms,
        strength=best.strength,
        left_out_errors=best.left_out,
        measured=np.asarray(launches.any(0)),
        has_macs=np.asarray(workload.work(0.0)[chosen].any(0)),
    )
    return found.settle_constant_kinds(workload, chosen, problem.priors)


def efficiencies(model: Roofline) -> tuple[Array, Array]:
    """Return the shares of peak and of bandwidth that kernels of each kind reach, [kinds] each."""
    of_peak, of_bandwidth = np.array([model.efficiencies[kind] for kind in KINDS]).T
    return of_peak, of_bandwidth


def _best(problem: _FitProblem) -> _Solution:
    """Return the solution with the smallest leave-one-out error over forms, ridge points and strengths."""
    apart = _sweep(problem, [None])
    # With overlap: a coarse sweep of the ridge point, then finer ones between the neighbours of the best.
    swept = problem.workload.ridges()
    best = _sweep(problem, swept)
    for _ in range(ZOOMS if len(swept) > 1 else 0):
        assert best.ridge is not None  # all of these overlap
        place = int(np.searchsorted(swept, best.ridge))
        low, high = swept[max(place - 1, 0)], swept[min(place + 1, len(swept) - 1)]
        swept = np.unique(np.append(np.geomspace(low, high, ZOOM_RIDGES), best.ridge))
        best = min(best, _sweep(problem, swept), key=lambda solution: solution.error)
    return best if best.error < OVERLAP_MUST_REACH * apart.error else apart


def _sweep(problem: _FitProblem, ridges: Iterable[float | None]) -> _Solution:
    """Return the best solution over some ridge points and all strengths; None stands for no overlap."""
    found = (solution for ridge in ridges for solution in problem.solve(ridge))
    return min(found, key=lambda solution: solution.error)
