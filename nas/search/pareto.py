"""Pareto fronts, ranks, crowding distances and hypervolumes of sets of points.

Ranks and crowding as in NSGA-II (Deb et al. 2002, IEEE Trans. Evol. Comput. 6(2), sections III-A and III-B).
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.errors import InvalidInput


def non_dominated(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.bool_]:
    """Return which of the points [N, M] no other point dominates, as [N].

    `minimise` says for each of the M objectives whether smaller is better (else larger is). A point dominates another
    where it is no worse in any objective and better in at least one; so equal points do not dominate each other, and
    all copies of a point on the front are on it. Raises `InvalidInput` for NaN or a wrong shape.
    """
    signed = _signed(points, minimise)
    order = np.lexsort(signed.T[::-1])  # by the first objective, ties by the next: a dominating point comes first
    front = np.empty(len(signed), bool)
    front[order] = _front_of_pairs(signed[order]) if signed.shape[1] == 2 else _front(signed[order])
    return front


def ranks(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.intp]:
    """Return the non-domination rank of each of the points [N, M], as [N]: 0 on the front, 1 on the front of the rest.

    Copies share a layer. O(N log N) for two objectives, O(N^2 M) for more. Raises as `non_dominated`.
    """
    signed = _signed(points, minimise)
    order = np.lexsort(signed.T[::-1])
    ordered = signed[order]
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    distinct = ordered[new]
    layers = _layers_of_pairs(distinct) if signed.shape[1] == 2 else _layers(distinct)
    result = np.empty(len(signed), np.intp)
    result[order] = layers[np.cumsum(new) - 1]
    return result


def crowding(points: ArrayLike, layers: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the crowding distance of each of the points [N, M] within its layer [N] (see `ranks`), as [N].

    Per objective, the gap between the two neighbours over the layer's range; the ends of a layer have infinity.
    """
    array = np.asarray(points, np.float64)
    distance = np.zeros(len(array))
    for values in array.T:
        order = np.lexsort((values, layers))
        layer, ordered = layers[order], values[order]
        first = np.ones(len(array), bool)
        first[1:] = layer[1:] != layer[:-1]
        last = np.roll(first, -1)
        starts = np.flatnonzero(first)
        spread = np.repeat(ordered[last] - ordered[first], np.diff([*starts, len(array)]))
        gaps = np.full(len(array), np.inf)
        inner = np.flatnonzero(~first & ~last)
        gaps[inner] = (ordered[inner + 1] - ordered[inner - 1]) / np.where(spread[inner] > 0, spread[inner], 1)
        distance[order] += gaps
    return distance


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """Return the exact hypervolume of the points [N, 2 or 3] up to `reference`; smaller is better on all axes.

    Three objectives are swept along the last one: a slab between two values of it has the area of the points below.
    """
    if len(reference) == 2:
        return hypervolume_2d(points, reference)
    corner = np.asarray(reference, np.float64)
    array = np.asarray(points, np.float64).reshape(-1, len(reference))
    if corner.shape != (3,) or not np.isfinite(corner).all() or not np.isfinite(array).all():
        raise InvalidInput(f"points and the reference [2 or 3] must be finite, got the reference {list(reference)}")
    inside = array[(array < corner).all(1)]
    inside = inside[non_dominated(inside, (True,) * 3)]
    inside = inside[np.argsort(inside[:, 2], kind="stable")]
    heights = np.diff([*inside[:, 2], corner[2]])
    slabs = ((n, height) for n, height in enumerate(heights, start=1) if height > 0)
    return float(sum(height * hypervolume_2d(inside[:n, :2], reference[:2]) for n, height in slabs))


def hypervolume_2d(points: ArrayLike, reference: Sequence[float]) -> float:
    """Return the area that the points [N, 2] dominate, up to `reference`.

    Smaller is better on both axes; give an accuracy as its error. Points that are worse than the reference add nothing.
    """
    array = np.asarray(points, np.float64).reshape(-1, 2)
    corner = np.asarray(reference, np.float64)
    if corner.shape != (2,) or not np.isfinite(corner).all() or not np.isfinite(array).all():
        raise InvalidInput(f"points and the reference [2] must be finite, got the reference {list(reference)}")
    inside = array[(array < corner).all(1)]
    front = np.unique(inside[non_dominated(inside, (True, True))], axis=0)  # x rises, y falls
    ceilings = np.concatenate([corner[1:], front[:-1, 1]])
    return float(((corner[0] - front[:, 0]) * (ceilings - front[:, 1])).sum())


def _signed(points: ArrayLike, minimise: Sequence[bool]) -> NDArray[np.float64]:
    """Return the points [N, M] with signs such that smaller is better on every axis."""
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != len(minimise) or not len(minimise):
        raise InvalidInput(f"points must have the shape [N, {len(minimise)}], got {list(array.shape)}")
    if np.isnan(array).any():
        raise InvalidInput("points must hold numbers, got NaN; leave out points that lack an objective")
    return np.where(np.asarray(minimise, bool), array, -array)


def _layers_of_pairs(pairs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the layers of distinct lexicographically sorted pairs, in O(N log N).

    Within a layer y falls along the order, so its last y is its lowest; and these rise from layer to layer. A point is
    dominated by a layer exactly where that lowest y is at most its own, so its layer is found by bisection.
    """
    lowest: list[float] = []
    layers = np.empty(len(pairs), np.intp)
    for i, y in enumerate(pairs[:, 1].tolist()):
        layer = bisect_right(lowest, y)
        lowest[layer : layer + 1] = [y]
        layers[i] = layer
    return layers


def _layers(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the layers of distinct lexicographically sorted points: one more than the largest that dominates each."""
    layers = np.zeros(len(points), np.intp)
    for i, point in enumerate(points):
        dominating = layers[:i][(points[:i] <= point).all(1)]
        layers[i] = dominating.max() + 1 if len(dominating) else 0
    return layers


def _front_of_pairs(pairs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the front of sorted pairs: those with the smallest y of their x, below every y at a smaller x."""
    x, y = pairs.T
    first: NDArray[Any] = np.searchsorted(x, x)  # where the run of equal x begins; there y is smallest
    lowest_before = np.concatenate([[np.inf], np.minimum.accumulate(y)])[first]
    # Nothing comes before the smallest x, so there even an infinite y is on the front.
    return np.asarray((y <= y[first]) & ((first == 0) | (y < lowest_before)), bool)


def _front(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the front of lexicographically sorted points: what dominates a point precedes it and is on the front."""
    kept = np.empty_like(points)
    count = 0
    front = np.zeros(len(points), bool)
    for i, point in enumerate(points):
        ahead = kept[:count]
        if ((ahead <= point).all(1) & (ahead < point).any(1)).any():
            continue
        front[i] = True
        kept[count] = point
        count += 1
    return front
