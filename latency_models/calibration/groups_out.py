"""Error of a calibration on networks unlike the measured ones: groups of networks that resemble each other left out.

Leaving out one network says how well a fit predicts its siblings: those of one family differ in width, and each is
predicted from the others. It does not say what happens to a family of which nothing was measured. So the networks are
put into groups by the kernels that their work lies in, kinds of them on maps of a size, and each group is predicted by
a fit to the others. The error of a further network grows from the one to the other with its distance to the nearest
measured one (`latency_models.extrapolation`).

Measured by experiments/benchmarks/few_sample_latency.py on MobileNetV4's Table 6, a family left out. What it covers
there hardly depends on the number of groups (3, 4, 5), the linkage (average, complete), or whether the error is that of
one form or of the best of all; with kinds alone, whatever the size of the map, it covers less.
"""

from collections.abc import Mapping

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist

from latency_models.calibration.validation import USUAL, Fitter, honest_errors, quantile
from latency_models.extrapolation import Cell, Extrapolation, map_size
from latency_models.workload import Array, Rows, Workload
from nas.ops import KINDS
from nas.progress.stop import raise_if_stopped

GROUPS = 4
LEAST_TO_FIT = 3  # networks
MOST_KEPT = 16  # networks whose shares a target file keeps
DIGITS = 3  # of these shares


def extrapolation(
    fitters: Mapping[str, Fitter], workload: Workload, latency_ms: Array, half_width: float
) -> Extrapolation | None:
    """Return how intervals widen with distance, where the best of some forms is chosen; None for networks all alike.

    `half_width`, relative, is that of networks sampled as the measured ones were. The order of rows is irrelevant.
    """
    cells, shares = work_shares(workload)
    group, kept = groups_of(shares), representatives(shares)
    outs = [group == number for number in np.unique(group)]
    outs = [out for out in outs if (~out).sum() >= LEAST_TO_FIT]
    if not outs or len(np.unique(group[kept])) < 2:
        return None
    predicted = {}
    for form, fitter in fitters.items():
        each = np.full(len(shares), np.nan)
        for out in outs:
            raise_if_stopped()
            each[out] = fitter(workload, latency_ms, np.flatnonzero(~out)).predict(workload)[out]
        predicted[form] = each[None, np.isfinite(each)]
    errors = honest_errors(predicted, latency_ms[np.any(outs, axis=0)])
    apart = cdist(shares, shares[kept], "cityblock") / 2
    itself = np.arange(len(shares))[:, None] == kept
    near = np.where(itself, np.inf, apart).min(1)
    far = np.where(group[:, None] == group[kept], np.inf, apart).min(1)
    macs, moved = np.round(2 * shares[kept].reshape(len(kept), 2, -1), DIGITS).swapaxes(0, 1)
    return Extrapolation(
        usual_share=_rounded(float(np.quantile(near, USUAL))),
        far_share=_rounded(float(np.median(far[np.isfinite(far)]))),
        more_percent=_rounded(100 * max(0.0, quantile(errors) - half_width)),
        kinds=tuple(kind for kind, _ in cells),
        sizes=tuple(size for _, size in cells),
        macs=tuple(map(tuple, macs.tolist())),
        bytes=tuple(map(tuple, moved.tolist())),
    )


def _rounded(value: float) -> float:
    """Return a number as target files hold it."""
    return float(f"{value:.4g}")


def work_shares(workload: Workload, cells: tuple[Cell, ...] | None = None) -> tuple[tuple[Cell, ...], Array]:
    """Return C cells and the shares [N, 2 C] of the MACs, then of the bytes, of each network in them, halved.

    So all shares of a network have the sum 1, and two networks are half the sum of the differences apart. Without
    `cells`, these are the ones that the networks have; with them, what lies in others is in the last column of each.
    """
    different, which = workload.shapes
    found = [(KINDS[kind], map_size(pixels)) for kind, pixels, *_ in different.tolist()]
    known = tuple(sorted(set(found), key=lambda cell: (KINDS.index(cell[0]), cell[1]))) if cells is None else cells
    column = {cell: place for place, cell in enumerate(known)}
    count = len(known) + (cells is not None)
    place = workload.network * count + np.array([column.get(cell, len(known)) for cell in found], np.intp)[which]
    parts = []
    for values in (workload.macs, workload.bytes):
        sums = np.bincount(place, values, workload.size * count).reshape(workload.size, count)
        parts.append(sums / np.maximum(sums.sum(1, keepdims=True), 1e-300))
    return known, np.concatenate(parts, axis=1) / 2


def groups_of(shares: Array, count: int = GROUPS) -> Rows:
    """Return the group [N] of each network, `count` of them or fewer, by complete linkage."""
    order = np.lexsort(shares.T)  # so that the rows may come in any order
    group = np.empty(len(shares), np.intp)
    group[order] = fcluster(linkage(shares[order], "complete", "cityblock"), count, "maxclust")
    return group


def representatives(shares: Array, count: int = MOST_KEPT) -> Rows:
    """Return up to `count` networks of which one is near any other: the farthest from those chosen so far, in turn."""
    order = np.lexsort(shares.T)
    mean = np.abs(shares[order] - shares.mean(0)).sum(1)
    chosen = [int(order[np.argmin(mean)])]
    while len(chosen) < min(count, len(shares)):
        nearest = cdist(shares[order], shares[chosen], "cityblock").min(1)
        if nearest.max() == 0:
            break
        chosen.append(int(order[np.argmax(nearest)]))
    return np.array(chosen, np.intp)


def widenings(known: Extrapolation | None, workload: Workload) -> Array:
    """Return by how much the relative half-widths [N] of networks are larger: that of `Extrapolation`, for many."""
    if known is None:
        return np.zeros(workload.size)
    _, shares = work_shares(workload, known.cells)
    none = np.zeros((len(known.macs), 1))
    kept = np.concatenate([known.macs, none, known.bytes, none], axis=1) / 2
    apart = cdist(shares, kept, "cityblock").min(1) / 2
    return np.array([known.more_of(each) / 100 for each in apart.tolist()])
