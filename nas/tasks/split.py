"""Splits of examples into two parts, fixed by their seeds on every machine and for every version of numpy.

Orders come from the raw stream of numpy's PCG64, which numpy promises never to change (NEP 19), unlike its `shuffle`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nas.errors import InvalidInput

Indices = npt.NDArray[np.int32]
ALL_ROWS = 2**16  # separates the stream of `random_split` from those of the classes


def permutation(n: int, *seed: int) -> Indices:
    """Return a permutation of 0..n-1, fixed by the non-negative numbers `seed`."""
    if min(seed) < 0:
        raise InvalidInput(f"a seed must be 0 or larger, got {min(seed)}")
    return np.argsort(np.random.PCG64(list(seed)).random_raw(n), kind="stable").astype(np.int32)


def stratified_split(labels: npt.NDArray[Any], validation: int, seed: int) -> tuple[Indices, Indices]:
    """Return (train, validation) indices into `labels` [N], each ascending; together they are 0..N-1.

    Every class gives its proportional share of the `validation` indices (largest remainders are rounded up, ties to the
    lower label), but at least one, and keeps at least one; every class needs two or more.
    """
    counts = np.bincount(labels)
    quota = counts * (validation / len(labels))
    share = np.floor(quota).astype(np.int64)
    # Largest remainders: what rounding down left over goes to the classes with the largest fractional parts.
    by_remainder = np.argsort(share - quota, kind="stable")
    share[by_remainder[: max(0, validation - int(share.sum()))]] += 1
    share = np.clip(share, 1, counts - 1)
    chosen = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(share):
        members = np.flatnonzero(labels == label)
        chosen[members[permutation(len(members), seed, label)[:count]]] = True
    return np.flatnonzero(~chosen).astype(np.int32), np.flatnonzero(chosen).astype(np.int32)


def random_split(examples: int, validation: int, seed: int) -> tuple[Indices, Indices]:
    """Return (train, validation) indices of 0..N-1, each ascending; of both at least one."""
    order = permutation(examples, seed, ALL_ROWS)
    count = min(max(validation, 1), examples - 1)
    return np.sort(order[count:]), np.sort(order[:count])


def grouped_split(
    groups: npt.NDArray[Any], labels: npt.NDArray[Any], validation: int, seed: int, what: str
) -> tuple[Indices, Indices]:
    """Return (train, validation) indices, each ascending, such that no group of `groups` [N] lies in both.

    Groups are taken in an order fixed by `seed`, each that brings the validation set nearer to `validation` examples:
    one at least, and one at least is left. Raises `InvalidInput`, which begins with `what`, where there is one group
    only, or a class of `labels` [N] is in no other.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InvalidInput(f"{what} is the same of all {len(labels)} examples, {names[0]!s:.40}; a split needs two")
    sizes, chosen, count = np.bincount(group_of), list[int](), 0
    for number in permutation(len(names), seed)[: len(names) - 1].tolist():
        if not chosen or abs(count + sizes[number] - validation) < abs(count - validation):
            chosen.append(number)
            count += int(sizes[number])
    held = np.isin(group_of, chosen)
    if lost := sorted(set(labels.tolist()) - set(labels[~held].tolist())):
        listed = ", ".join(map(str, names[chosen]))
        raise InvalidInput(f"{what}: class {lost[0]} has no example outside of {listed}; choose another seed or group")
    return np.flatnonzero(~held).astype(np.int32), np.flatnonzero(held).astype(np.int32)
