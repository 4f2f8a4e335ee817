"""Propose networks to measure for a calibration: spread over a space in latency and in the kernels that they run.

Candidates are sampled with a tendency towards more or less of a random mixture of compute, traffic and launches per
kernel kind. The smallest and the largest network of the space come first; then of each slice of latencies, equal on a
logarithmic scale, the one that adds most to the determinant of the information matrix (greedy D-optimal design, Fedorov
1972).
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

DIRECTIONS, DRAWS = 200, 100  # random mixtures of features, and candidates sampled towards each
STRONGEST = 4.0  # tendency: log-odds of an option per standard deviation of its decision's effects
UNIFORM = 4000  # uniform samples on which the effects of the options are measured
PRIOR = 1e-3  # information before the first network, which keeps the matrix regular


def propose(space: SearchSpace, model: Roofline, count: int, *, seed: int = 0) -> list[tuple[Genotype, float]]:
    """Return `count` different genotypes with their latencies under `model`, the fastest first.

    Raises `InvalidInput` where the space does not hold as many architectures.
    """
    rng = np.random.default_rng(seed)
    latency = compile_table(space, model)
    ends = np.array([latency.minimum()[1], latency.maximum()[1]], np.int32)
    tables, uniform = _tables(space, model), sample(space.decisions, rng, UNIFORM)
    directed = _directed_samples(space, rng, uniform, _features(tables, uniform))
    sampled = canonical(space.decisions, np.concatenate([ends, directed, uniform]))
    _, first = np.unique(sampled, axis=0, return_index=True)
    candidates = sampled[np.sort(first)]  # the ends stay in front
    if len(candidates) < count:
        raise InvalidInput(f"space '{space.name}' has {len(candidates)} architectures, fewer than --propose {count}")
    times = latency.score(candidates)
    # A fit is one on relative error: what it can learn from a network is its features over its latency.
    columns = _features(tables, candidates) / times[:, None]
    chosen = _d_optimal(columns / np.sqrt((columns**2).mean(0)), np.log(times), count)
    return [(tuple(map(int, candidates[i])), float(times[i])) for i in sorted(chosen, key=lambda i: times[i])]


def _tables(space: SearchSpace, model: Roofline) -> list[CostTable]:
    """Return the cost tables of MACs and of bytes moved per kind of kernel, and of the number of kernels."""

    def only(kind: Kind, traffic: bool) -> Count:
        def of_kernel(kernel: Kernel) -> int:
            return 0 if kernel.kind != kind else round(model.moved_bytes(kernel)) if traffic else kernel.macs

        return Count(f"{kind} {traffic}", of_kernel)

    costs = [only(kind, traffic) for kind in KINDS if kind not in model.free_kinds for traffic in (False, True)]
    costs.append(Count("launches", lambda kernel: int(kernel.kind not in model.free_kinds)))
    return [compile_table(space, cost) for cost in costs]


def _features(tables: Sequence[CostTable], genotypes: NDArray[np.int32]) -> Array:
    """Return the scores of the tables and a column of ones, as [N, P]; columns of zeros are left out."""
    columns = [np.asarray(table.score(genotypes), np.float64) for table in tables]
    return np.column_stack([*(column for column in columns if column.any()), np.ones(len(genotypes))])


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


def _d_optimal(columns: Array, log_times: Array, count: int) -> list[int]:
    """Return `count` rows: 0 and 1, then from each slice of latencies the most informative one not yet chosen.

    The information matrix of chosen rows x is M = PRIOR * I + sum(x x'). Adding x multiplies its determinant by
    1 + x' inverse(M) x, so the row with the largest x' inverse(M) x is chosen; Sherman and Morrison's formula updates
    the inverse.
    """
    size = columns.shape[1]
    inverse = np.eye(size) / PRIOR
    chosen: list[int] = []
    slices = np.linspace(log_times.min(), log_times.max(), max(count - 1, 2))
    place = np.clip(np.searchsorted(slices, log_times), 1, len(slices) - 1)
    # The slices in random order; -1 and -2 stand for rows 0 and 1, the smallest and the largest network.
    order: Sequence[int] = [-1, -2, *np.random.default_rng(0).permutation(np.arange(1, len(slices)))]
    for turn in order[:count]:
        gain = np.einsum("np,pq,nq->n", columns, inverse, columns)
        gain[chosen] = -np.inf
        inside = place == turn if turn > 0 else np.arange(len(gain)) == -1 - turn
        free = inside & np.isfinite(gain)  # where a slice has none left, any row may be chosen
        best = int(np.argmax(np.where(free if free.any() else np.isfinite(gain), gain, -np.inf)))
        chosen.append(best)
        step = inverse @ columns[best]
        inverse -= np.outer(step, step) / (1 + columns[best] @ step)
    return chosen
