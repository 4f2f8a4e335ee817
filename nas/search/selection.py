"""Choosing the best of noisy scores: the answer, what is as good within the noise, and how much of the score is luck.

All scores here are taken on the same images, so that two of them are compared image by image: `hits` [N, images] say
which candidate classifies which image correctly. Of a task without classes they are numbers: what each image adds to
the score of a candidate, which is their mean (`nas.tasks.score_contributions`). Candidates of one search agree on most
images, so the difference of two is known better than either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESOLVED = 0.05  # a difference of accuracies that validation images must be able to show, as a fraction
SPLITS = 256  # of the images into one part to choose by and another to read the score on
MIN_PICKS = 3  # that are named where so many are as good as the answer
NORMAL_90 = 1.2816  # the 90 % quantile of the standard normal distribution
CHANCE_ERRORS = 2.0  # standard errors above chance from which an accuracy counts as better than chance
Floats = NDArray[np.float64]
Hits = NDArray[Any]  # truth values, or numbers float32


def total(hits: Hits) -> float:
    """Return the sum of one candidate's hits, a whole number where they are truth values; at least 0, at most all."""
    if hits.dtype == np.bool_:
        return int(hits.sum())
    return min(max(float(hits.sum(dtype=np.float64)), 0.0), float(hits.size))


def score_error(hits: Hits) -> float | None:
    """Return the standard error of a score from its hits [images]; None for truth values, whose share has its own."""
    if hits.dtype == np.bool_:
        return None
    return min(1.0, float(hits.std(dtype=np.float64)) / math.sqrt(max(len(hits) - 1, 1)))


def worst_difference_error(images: int) -> float:
    """Return the largest standard error that the difference of two accuracies on `images` images can have.

    That of two independent ones of 50 %; those of similar networks, on the same images, are closer together.
    """
    return math.sqrt(2 * 0.25 / images)


def few_images_note(images: int, *, is_share: bool = True, remedy: str = "add training images") -> str | None:
    """Return a sentence where `images` validation images are too few to rank networks, else None.

    Too few are those on which one standard error of a difference may exceed `RESOLVED`: fewer than 200. Of a score that
    is no share of the images the error is another, and is not stated.
    """
    error = worst_difference_error(images)
    if error <= RESOLVED:
        return None
    if not is_share:
        return f"{images:,} validation images are too few to rank networks; {remedy}"
    return (
        f"{images:,} validation image{'s are' if images > 1 else ' is'} too few to rank networks: two accuracies on "
        f"them differ by {100 * error:.0f} points by chance alone (one standard error); {remedy}"
    )


def paired_difference(best: Hits, other: Hits) -> tuple[float, float]:
    """Return by how much `best` is more accurate than `other`, both [images], and the standard error of that.

    That of a mean of paired differences (McNemar 1947), with one image more on which they differ, so that it is never
    0: two networks that agree on all images may differ on the next. Of numbers that of the mean of the differences.
    """
    if best.dtype != np.bool_:
        each = best.astype(np.float64) - other
        return float(each.mean()), float(each.std()) / math.sqrt(max(len(each) - 1, 1))
    images, better, worse = len(best), int((best & ~other).sum()), int((~best & other).sum())
    difference = (better - worse) / images
    return difference, math.sqrt(better + worse + 1 - images * difference**2) / images


def unpaired_difference(correct: float, other: float, images: int, errors: tuple[float, float]) -> tuple[float, float]:
    """Return the difference of two accuracies of which only the totals are known, and the standard error at most.

    That of independent ones, of standard errors `errors`: on the same images it is smaller.
    """
    return (correct - other) / images, math.hypot(*errors)


def luck(hits: Hits) -> float:
    """Return by how much the highest of the accuracies of `hits` [N, images] is expected to flatter its candidate.

    The images are split many times: the best is chosen on one part, and its score on the rest says how much of that on
    the first was luck. That is the luck of a choice on m images, for m of a half and of a quarter. It falls as a power
    of m, between m^-1/2 (nothing but noise) and m^-1 (clear differences), which leads on to all images. Of
    candidates of equal score the first counts, so `hits` must be in the order of the costs by which the answer is
    chosen among equals, whatever the scores. Deterministic.
    """
    count, images = hits.shape
    if count < 2 or images < 2:
        return 0.0
    rng = np.random.default_rng(0)
    orders = np.argsort(rng.random((SPLITS, images)), 1)
    half = _luck_of_choice(hits, orders, max(1, images // 2))
    quarter = _luck_of_choice(hits, orders, images // 4) if images >= 8 else 0.0
    if half <= 0:
        return 0.0
    factor = half / quarter if quarter > 0 else 1.0  # what doubling the images makes of it
    return float(half * np.clip(factor, 0.5, math.sqrt(0.5)))


def _luck_of_choice(hits: Hits, orders: NDArray[np.intp], chosen: int) -> float:
    """Return the mean of score on the first `chosen` images less that on the rest, of the best on the first."""
    images = hits.shape[1]
    first = (orders.argsort(1) < chosen).astype(np.float32)  # [splits, images]
    values = hits.T.astype(np.float32)
    on_first, on_all = first @ values, values.sum(0)  # [splits, N], [N]
    best = on_first.argmax(1)
    score = on_first[np.arange(len(best)), best]
    return float((score / chosen - (on_all[best] - score) / (images - chosen)).mean())


def most_luck(top1: Floats, error: float) -> float:
    """Return by how much the highest of the accuracies `top1` [N] flatters at most, where only totals are known.

    `error` is the standard error of each; on the same images the noise between candidates is smaller. Shrinkage towards
    the median (empirical Bayes, Efron & Morris 1975): of the distance of the best from it, the share of noise in the
    variance of the better half is luck. The variance, an estimate itself, is taken to be a fifth smaller.
    """
    middle, high = np.quantile(top1, [0.5, 0.9])
    variance = 0.8 * ((high - middle) / NORMAL_90) ** 2
    share = 1.0 if variance <= error**2 else error**2 / variance
    return float(share * (top1.max() - middle))


def picks(order: Sequence[int], costs: Mapping[str, Floats]) -> dict[int, list[str]]:
    """Return the candidates to name, with the names of the costs of which each has the least.

    `order` are those that are as good as the first, the answer, best first; `costs` are [N] of all candidates, by a
    name such as "fastest". The answer comes first. No two have equal costs. Where fewer than `MIN_PICKS` have a least
    cost, those that differ most from them in cost are added, without a name.
    """
    found: dict[int, list[str]] = {order[0]: []}
    for name, values in costs.items():
        least = min(order, key=lambda index: (values[index], order.index(index)))
        _same(found, costs, least).append(name)
    logs = np.log(np.stack([np.maximum(np.asarray(values, np.float64), 1e-12) for values in costs.values()], 1))
    while len(found) < MIN_PICKS:
        far = {i: min(float(np.abs(logs[i] - logs[j]).max()) for j in found) for i in order if i not in found}
        best = max(far, key=lambda index: far[index], default=None)
        if best is None or far[best] == 0:
            break
        found[best] = []
    return found


def _same(found: dict[int, list[str]], costs: Mapping[str, Floats], index: int) -> list[str]:
    """Return the names of the pick that has the costs of candidate `index`, which becomes a pick where none has."""
    for other, names in found.items():
        if all(values[other] == values[index] for values in costs.values()):
            return names
    return found.setdefault(index, [])


def at_chance(top1: float, error: float, chance: float) -> bool:
    """Return whether an accuracy with its standard error cannot be told from `chance`, that of a constant answer."""
    return top1 - chance <= CHANCE_ERRORS * error
