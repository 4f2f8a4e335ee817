"""Networks worth measuring for a calibration: spread over a space in latency and in what they are made of.

Candidates lean in random directions of compute, traffic and launches per kernel kind. The smallest and the largest
network of the space come first; then of each slice of latencies, equal on a logarithmic scale, the one that adds most
to the determinant of the information matrix (greedy D-optimal design, Fedorov 1972).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.ops import KINDS, Kernel, Kind
from nas.protocols import Genotype, SearchSpace
from nas.space.cost_table import CostTable, Count, compile_table
from nas.space.genotypes import canonical, sample

Array = NDArray[np.float64]

LEANINGS, DRAWS = 200, 100  # directions, and candidates that lean in each
STRONGEST = 4.0  # leaning: in a direction, the log-odds per standard deviation of a gene's effect
UNIFORM = 4000  # draws that the effects of the options are measured on
LITTLE = 1e-3  # information that is there before the first network, which keeps the matrix regular


def propose(space: SearchSpace, model: Roofline, count: int, *, seed: int = 0) -> list[tuple[Genotype, float]]:
    """Return `count` different genotypes with their latencies under `model`, the fastest first.

    Raises `InvalidInput` where the space does not hold as many architectures.
    """
    rng = np.random.default_rng(seed)
    latency = compile_table(space, model)
    ends = np.array([latency.minimum()[1], latency.maximum()[1]], np.int32)
    tables, uniform = _tables(space, model), sample(space.decisions, rng, UNIFORM)
    leaning = _leaning(space, rng, uniform, _features(tables, uniform))
    sampled = canonical(space.decisions, np.concatenate([ends, leaning, uniform]))
    _, first = np.unique(sampled, axis=0, return_index=True)
    candidates = sampled[np.sort(first)]  # the ends stay in front
    if len(candidates) < count:
        raise InvalidInput(f"space '{space.name}' has {len(candidates)} architectures, fewer than --propose {count}")
    times = latency.score(candidates)
    columns = _features(tables, candidates) / times[:, None]
    chosen = _spread(columns / np.sqrt((columns**2).mean(0)), np.log(times), count)
    return [(tuple(map(int, candidates[i])), float(times[i])) for i in sorted(chosen, key=lambda i: times[i])]


def _tables(space: SearchSpace, model: Roofline) -> list[CostTable]:
    """Return tables of compute and of traffic per kind, and of launches."""

    def only(kind: Kind, traffic: bool) -> Count:
        def of_kernel(kernel: Kernel) -> int:
            return 0 if kernel.kind != kind else round(model.moved_bytes(kernel)) if traffic else kernel.macs

        return Count(f"{kind} {traffic}", of_kernel)

    costs = [only(kind, traffic) for kind in KINDS if kind not in model.free_kinds for traffic in (False, True)]
    costs.append(Count("launches", lambda kernel: int(kernel.kind not in model.free_kinds)))
    return [compile_table(space, cost) for cost in costs]


def _features(tables: Sequence[CostTable], genotypes: NDArray[np.int32]) -> Array:
    """Return what the tables score and a column of ones, [N, P]; columns of zeros are left out."""
    columns = [np.asarray(table.score(genotypes), np.float64) for table in tables]
    return np.column_stack([*(column for column in columns if column.any()), np.ones(len(genotypes))])


def _leaning(
    space: SearchSpace, rng: np.random.Generator, genotypes: NDArray[np.int32], features: Array
) -> NDArray[np.int32]:
    """Return genotypes whose options lean towards more or less of a random mixture of features."""
    spread = features.std(0)
    varies = spread > 0
    standard = (features[:, varies] - features[:, varies].mean(0)) / spread[varies]
    directions = rng.standard_normal((standard.shape[1], LEANINGS))
    directions[:, ::2] = np.abs(directions[:, ::2]) * rng.choice([-1, 1], LEANINGS)[::2]  # larger or smaller in all
    requested = standard @ (directions / np.linalg.norm(directions, axis=0))
    strength = rng.uniform(0, STRONGEST, LEANINGS)
    columns = []
    for decision_index, decision in enumerate(space.decisions):
        options = range(len(decision.options))
        takes = [genotypes[:, decision_index] == option for option in options]
        effect = np.array([requested[rows].mean(0) if rows.any() else np.zeros(LEANINGS) for rows in takes])
        effect /= np.maximum(effect.std(0), 1e-12)
        odds = np.exp(strength * effect)
        edges = np.cumsum(odds / odds.sum(0), axis=0)  # [options, leanings]
        points = rng.random((DRAWS, LEANINGS))
        columns.append((points[None] > edges[:-1, None]).sum(0).ravel())
    return np.column_stack(columns).astype(np.int32)


def _spread(columns: Array, log_times: Array, count: int) -> list[int]:
    """Return `count` rows: 0 and 1, then of each slice of latencies the most informative one that is not yet taken."""
    size = columns.shape[1]
    inverse = np.eye(size) / LITTLE
    chosen: list[int] = []
    slices = np.linspace(log_times.min(), log_times.max(), max(count - 1, 2))
    place = np.clip(np.searchsorted(slices, log_times), 1, len(slices) - 1)
    order: Sequence[int] = [-1, -2, *np.random.default_rng(0).permutation(np.arange(1, len(slices)))]
    for requested in order[:count]:
        gain = np.einsum("np,pq,nq->n", columns, inverse, columns)
        gain[chosen] = -np.inf
        inside = place == requested if requested > 0 else np.arange(len(gain)) == -1 - requested
        free = inside & np.isfinite(gain)
        best = int(np.argmax(np.where(free if free.any() else np.isfinite(gain), gain, -np.inf)))
        chosen.append(best)
        step = inverse @ columns[best]
        inverse -= np.outer(step, step) / (1 + columns[best] @ step)
    return chosen
