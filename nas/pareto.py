"""Fronts and hypervolumes: which points no other point beats, and how much of the plane a front covers."""

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
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != len(minimise) or not len(minimise):
        raise InvalidInput(f"points must have the shape [N, {len(minimise)}], got {list(array.shape)}")
    if np.isnan(array).any():
        raise InvalidInput("points must hold numbers, got NaN; leave out points that lack an objective")
    signed = np.where(np.asarray(minimise, bool), array, -array)
    order = np.lexsort(signed.T[::-1])  # by the first objective, ties by the next: who dominates stands in front
    front = np.empty(len(array), bool)
    front[order] = _front_of_pairs(signed[order]) if signed.shape[1] == 2 else _front(signed[order])
    return front


def hypervolume_2d(points: ArrayLike, reference: Sequence[float]) -> float:
    """Return the area between the points [N, 2] and `reference`: what is no better than some point and better than it.

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


def _front_of_pairs(pairs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the front of sorted pairs: the smallest y of their x, and below every y at a smaller x."""
    x, y = pairs.T
    first: NDArray[Any] = np.searchsorted(x, x)  # where the run of equal x begins; there y is smallest
    lowest_before = np.concatenate([[np.inf], np.minimum.accumulate(y)])[first]
    # the run of the smallest x has none before it: an infinite y is on the front there
    return np.asarray((y <= y[first]) & ((first == 0) | (y < lowest_before)), bool)


def _front(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the front of lexicographically sorted points; a dominated one is dominated by one that was kept before."""
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
