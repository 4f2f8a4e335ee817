"""Propose networks to measure for a calibration: those that leave the least doubt about the networks of a space.

A fit on relative errors is linear in MACs, bytes and launches per kernel kind, each over the latency, and wrong by a
smooth remainder. Under a Gaussian process with these terms and such a remainder, the variance of a prediction after
some measurements is known before they are made. Greedily, each proposal is the network that reduces the mean variance
over reference networks most (I- or V-optimal design; integrated mean squared error of Sacks et al. 1989, ALC of Cohn
1996). What is measured already counts as measured.

The reference networks are spread over the space in latency, evenly on a logarithmic scale, or lie in a band around one
latency. Candidates are sampled with a tendency towards more or less of a random mixture of compute, traffic and
launches per kernel kind. The smallest and the largest network of the space come first where nothing is measured yet.

How many networks reach the mean error of 20 random ones (experiments/benchmarks/proposals.py, 10 draws), beside the
D-optimal design of earlier releases, which took the most informative network of each slice of latencies:

                     D-optimal  proposed                     D-optimal  proposed
zcu102                     20         11    simulated-0            9         12
a100                  over 28         13    simulated-1           12         14
titan-rtx-batch-1          13          5    simulated-2            9         14
titan-rtx-batch-64    over 28         14    simulated-3           12         10
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import KINDS, Kernel, Kind
from nas.protocols import Cost, Genotype, SearchSpace
from nas.space.cost_table import CostTable, Count, compile_tables, cost_of
from nas.space.genotypes import canonical, sample

Array = NDArray[np.float64]

DIRECTIONS, DRAWS = 200, 100  # random mixtures of features, and candidates sampled towards each
STRONGEST = 4.0  # tendency: log-odds of an option per standard deviation of its decision's effects
UNIFORM = 4000  # uniform samples on which the effects of the options are measured
CANDIDATES, REFERENCES = 4000, 1000  # of the samples, those that may be proposed, and those whose doubt counts
PRIOR = 1e-3  # variance of a measurement's noise, relative to that of a term which may be all of a latency
REMAINDER = 9.0  # variance of what the terms leave out, in variances of the noise
BAND = 0.25  # half-width of the band around one latency, relative
TINY = 1e-12  # of a scale by which is divided
LEAST_IN_BAND = 200  # reference networks; where the band holds fewer, the nearest


@dataclass(frozen=True)
class Proposals:
    """Genotypes with their latencies under the model, the fastest first, and what they are expected to be worth."""

    networks: tuple[tuple[Genotype, float], ...]
    width: float  # expected width of a prediction after they are measured, relative to that before


def propose(
    space: SearchSpace,
    model: Roofline,
    count: int,
    *,
    seed: int = 0,
    known: Sequence[ArchSpec] = (),
    near_ms: float | None = None,
) -> Proposals:
    """Return `count` different networks to measure, beside those `known`, which are measured already.

    With `near_ms` the doubt that counts is that about networks of such a latency. Raises `InvalidInput` where the space
    does not hold as many architectures, or none of that latency.
    """
    rng = np.random.default_rng(seed)
    costs = _costs(model)
    latency, *tables = compile_tables(space, (model, *costs))
    ends = np.array([latency.minimum()[1], latency.maximum()[1]], np.int32)
    uniform = sample(space.decisions, rng, UNIFORM)
    directed = _directed_samples(space, rng, uniform, _features(tables, uniform))
    sampled = canonical(space.decisions, np.concatenate([ends, directed, uniform]))
    _, first = np.unique(sampled, axis=0, return_index=True)
    sampled = sampled[np.sort(first)]  # the ends stay in front
    times = latency.score(sampled)
    reference = _references(np.log(times), near_ms, rng, space.name)
    rows = np.unique(np.concatenate([np.arange(min(2, len(sampled))), rng.permutation(len(sampled))[:CANDIDATES]]))
    measured = _genotypes(space, known)
    rows = np.array([row for row in rows if tuple(sampled[row].tolist()) not in measured], np.intp)
    if len(rows) < count:
        more = " that are not measured" if known else ""
        raise InvalidInput(f"space '{space.name}' has {len(rows)} architectures{more}, fewer than --propose {count}")
    # What a fit on relative errors can learn from a network is its terms over its latency.
    of_known = np.array([[*(cost_of(cost, arch) for cost in costs), 1.0] for arch in known]).reshape(-1, len(costs) + 1)
    known_times = np.array([model.predict_ms(arch) for arch in known])
    columns = np.concatenate([_features(tables, sampled) / times[:, None], of_known / known_times.reshape(-1, 1)])
    columns = columns[:, columns.any(0)]
    design = Design.of(columns[rows], columns[reference], columns[len(sampled) :])
    chosen = design.choose(count, first=() if known or near_ms is not None else range(2))
    networks = [(tuple(sampled[rows[i]].tolist()), float(times[rows[i]])) for i in chosen.rows]
    return Proposals(tuple(sorted(networks, key=lambda pair: pair[1])), chosen.width)


def _genotypes(space: SearchSpace, archs: Sequence[ArchSpec]) -> set[Genotype]:
    """Return the genotypes of those of `archs` that are in the space."""
    found = set()
    for arch in archs:
        with suppress(InvalidInput):
            genotype = tuple(map(int, space.encode(arch)))
            if space.decode(genotype).digest == arch.digest:
                found.add(genotype)
    return found


def _references(log_times: Array, near_ms: float | None, rng: np.random.Generator, space: str) -> NDArray[np.intp]:
    """Return rows of samples whose doubt counts: even in log latency, or in the band around `near_ms`."""
    if near_ms is not None:
        low, high = np.exp(log_times[0]), np.exp(log_times[1])  # the ends
        if not low <= near_ms <= high:
            raise InvalidInput(
                f"no network of space '{space}' takes {near_ms:g} ms: they take {low:.4g} to {high:.4g} ms"
            )
        far = np.abs(log_times - np.log(near_ms))
        order = np.argsort(far, kind="stable")
        return order[: max(LEAST_IN_BAND, min(REFERENCES, int((far <= np.log1p(BAND)).sum())))]
    slots = rng.uniform(log_times.min(), log_times.max(), REFERENCES)
    order = np.argsort(log_times, kind="stable")
    return np.unique(order[np.clip(np.searchsorted(log_times[order], slots), 0, len(order) - 1)])


@dataclass(frozen=True)
class Chosen:
    """The candidates that a design chose, in its order, and the expected width of a prediction relative to before."""

    rows: tuple[int, ...]
    width: float


@dataclass(frozen=True, eq=False)
class Design:
    """A Gaussian process over candidates [C], reference networks [R] and known ones: what is left to be known.

    `cross` [C, R] and `own` [C] are covariances after what is known, in variances of the noise of a measurement, and
    `doubt` [R] are the variances of the reference networks.
    """

    columns: Array  # [C, P], scaled
    places: Array  # [C, P] standardised, where the remainder lives
    cross: Array
    own: Array
    doubt: Array
    loadings: Array  # [C, measured] how the candidates move with what is measured

    @classmethod
    def of(cls, candidates: Array, reference: Array, known: Array) -> "Design":
        """Return the design for terms over latency of candidates [C, P], reference [R, P] and known networks [K, P]."""
        every = np.concatenate([candidates, reference, known])  # a term may be in none of the reference networks
        size = np.sqrt((reference**2).mean(0))
        size = np.where(size > 0, size, np.maximum(np.sqrt((every**2).mean(0)), TINY))
        spread = reference.std(0) / size
        spread = np.where(spread > TINY, spread, 1.0)
        scaled = [columns / size for columns in (candidates, reference, known)]
        (c, r, k), (pc, pr, pk) = scaled, [columns / spread for columns in scaled]
        design = cls(
            c, pc, _covariance(c, pc, r, pr), (c**2).sum(1) / PRIOR + REMAINDER, (r**2).sum(1) / PRIOR + REMAINDER,
            np.zeros((len(c), 0)),
        )  # fmt: skip
        if not len(k):
            return design
        # Condition on the known ones at once: K_xk (K_kk + 1)^-1 K_ky, by the Cholesky factor of the middle.
        factor = np.linalg.inv(np.linalg.cholesky(_covariance(k, pk, k, pk) + np.eye(len(k))))
        of_c, of_r = _covariance(c, pc, k, pk) @ factor.T, _covariance(r, pr, k, pk) @ factor.T
        return cls(
            c, pc, design.cross - of_c @ of_r.T, design.own - (of_c**2).sum(1), design.doubt - (of_r**2).sum(1), of_c
        )

    def choose(self, count: int, first: Sequence[int] = ()) -> Chosen:
        """Return `count` candidates, `first` in front; each reduces the mean variance of the references most."""
        cross, own, doubt = self.cross.copy(), self.own.copy(), self.doubt.copy()
        loadings, chosen = self.loadings, list[int]()
        for turn in range(count):
            gain = (cross**2).mean(1) / (own + 1)
            gain[chosen] = -np.inf
            best = first[turn] if turn < len(first) else int(np.argmax(gain))
            chosen.append(best)
            prior = _covariance(self.columns, self.places, self.columns[[best]], self.places[[best]])[:, 0]
            column = (prior - loadings @ loadings[best]) / np.sqrt(own[best] + 1)
            of_reference = cross[best] / np.sqrt(own[best] + 1)
            cross -= np.outer(column, of_reference)
            own, doubt = own - column**2, doubt - of_reference**2
            loadings = np.column_stack([loadings, column])
        return Chosen(tuple(chosen), float(np.sqrt((doubt.mean() + 1) / (self.doubt.mean() + 1))))


def _covariance(one: Array, one_places: Array, other: Array, other_places: Array) -> Array:
    """Return the prior covariances [N, M]: of the terms, and of the remainder by distance."""
    squares = (one_places**2).sum(1)[:, None] + (other_places**2).sum(1) - 2 * one_places @ other_places.T
    near = np.exp(-np.clip(squares, 0, None) / (2 * one_places.shape[1]))
    return np.asarray(one @ other.T / PRIOR + REMAINDER * near)


def _costs(model: Roofline) -> list[Cost]:
    """Return the costs that a fit is linear in: MACs and bytes moved per kind of kernel, and the number of kernels."""

    def only(kind: Kind, traffic: bool) -> Count:
        def of_kernel(kernel: Kernel) -> int:
            return 0 if kernel.kind != kind else round(model.moved_bytes(kernel)) if traffic else kernel.macs

        return Count(f"{kind} {traffic}", of_kernel)

    costs: list[Cost] = [
        only(kind, traffic) for kind in KINDS if kind not in model.free_kinds for traffic in (False, True)
    ]
    return [*costs, Count("launches", lambda kernel: int(kernel.kind not in model.free_kinds))]


def _features(tables: Sequence[CostTable], genotypes: NDArray[np.int32]) -> Array:
    """Return the scores of the tables and a column of ones, as [N, P]."""
    return np.column_stack(
        [*(np.asarray(table.score(genotypes), np.float64) for table in tables), np.ones(len(genotypes))]
    )


def _directed_samples(
    space: SearchSpace, rng: np.random.Generator, genotypes: NDArray[np.int32], features: Array
) -> NDArray[np.int32]:
    """Return genotypes sampled with a tendency, of random strength, towards many random mixtures of features."""
    spread = features.std(0)
    varies = spread > 0
    standard = (features[:, varies] - features[:, varies].mean(0)) / spread[varies]
    directions = rng.standard_normal((standard.shape[1], DIRECTIONS))
    directions[:, ::2] = np.abs(directions[:, ::2]) * rng.choice([-1, 1], DIRECTIONS)[::2]  # larger or smaller in all
    mixtures = standard @ (directions / np.linalg.norm(directions, axis=0))  # [N, directions] of the uniform samples
    strength = rng.uniform(0, STRONGEST, DIRECTIONS)
    columns = []
    for d, decision in enumerate(space.decisions):
        # The effect of an option on a mixture is the mean over the samples that take it; its odds grow with the effect.
        options = range(len(decision.options))
        takes = [genotypes[:, d] == option for option in options]
        effect = np.array([mixtures[rows].mean(0) if rows.any() else np.zeros(DIRECTIONS) for rows in takes])
        effect /= np.maximum(effect.std(0), 1e-12)
        odds = np.exp(strength * effect)
        edges = np.cumsum(odds / odds.sum(0), axis=0)  # [options, directions], cumulative
        points = rng.random((DRAWS, DIRECTIONS))
        columns.append((points[None] > edges[:-1, None]).sum(0).ravel())
    return np.column_stack(columns).astype(np.int32)
