"""Accuracies of trained networks as estimates: all rungs on one scale, what was observed combined with a prediction.

A noisy observation of a network is drawn towards what is expected of it (shrinkage; Efron and Morris 1975), the more,
the larger the training noise is beside the spread of the networks around the expectation. Both are estimated: the noise
from networks trained with several seeds, where there are any, and from a prior of a quarter: in replays predictions
that counted for more lost accuracy (experiments/ranking_replay.py); networks that a model chose look alike to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nas.protocols import Genotype

Floats = NDArray[np.float64]
NOISE_SHARE = 0.25  # of the spread of single trainings around their expectation that is training noise, assumed
ASSUMED_FREEDOM = 4.0  # degrees of freedom that this assumption is worth beside repeated trainings


class _Training(Protocol):
    @property
    def genotype(self) -> Genotype: ...
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...


@dataclass(frozen=True)
class Labels:
    """What was observed of N networks: one accuracy each, the mean over its seeds, on the scale of the longest rung."""

    genotypes: tuple[Genotype, ...]
    top1: Floats  # [N]
    seeds: NDArray[np.int64]  # [N] trainings in each mean
    epochs: NDArray[np.int64]  # [N] of the longest training of each
    within: float  # sum of squares of the trainings around the mean of their network
    freedom: int  # its degrees of freedom


@dataclass(frozen=True)
class Posterior:
    """The accuracy of N networks given everything: mean and standard error [N]; `noise` is that of one training."""

    mean: Floats
    standard_error: Floats
    noise: float


def labels_of(results: Iterable[tuple[_Training, float]]) -> Labels:
    """Return one label per network that has any accuracy, in the order of their first training."""
    curves: dict[Genotype, dict[int, dict[int, float]]] = {}
    for training, top1 in results:
        if np.isfinite(top1):
            curves.setdefault(training.genotype, {}).setdefault(training.seed, {})[training.epochs] = top1
    offset = rung_offsets([curve for of_seeds in curves.values() for curve in of_seeds.values()])
    values = [[_last(curve, offset) for curve in of_seeds.values()] for of_seeds in curves.values()]
    return Labels(
        tuple(curves),
        np.array([_mean(of_seeds) for of_seeds in values]),
        np.array([len(of_seeds) for of_seeds in values], np.int64),
        np.array([max(map(max, of_seeds.values())) for of_seeds in curves.values()], np.int64),
        float(sum(sum((one - _mean(of_seeds)) ** 2 for one in of_seeds) for of_seeds in values)),
        sum(len(of_seeds) - 1 for of_seeds in values),
    )


def rung_offsets(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return what is added to the accuracy at every rung to compare it with the longest: mean gains of one training.

    `curves` map epochs to accuracies. A gain is the mean over the trainings that have both of two neighbouring rungs.
    """
    rungs = sorted({epochs for curve in curves for epochs in curve})
    offset = {rungs[-1]: 0.0} if rungs else {}
    for shorter, longer in reversed(list(pairwise(rungs))):
        gains = [curve[longer] - curve[shorter] for curve in curves if shorter in curve and longer in curve]
        offset[shorter] = offset[longer] + (float(np.mean(gains)) if gains else 0.0)
    return offset


def posterior(labels: Labels, predicted: Floats | None) -> Posterior:
    """Return the posterior of the networks; their prior mean is `predicted` [N], without it the mean of all.

    `predicted` must not have seen the label of its own network (leave-one-out), else that would count twice.
    """
    prior = np.full(len(labels.top1), labels.top1.mean()) if predicted is None else predicted
    spread = float(np.square(labels.top1 - prior).mean()) * len(prior) / max(len(prior) - 1, 1)
    assumed = NOISE_SHARE * spread
    noise = (labels.within + ASSUMED_FREEDOM * assumed) / (labels.freedom + ASSUMED_FREEDOM)
    between = max(spread - noise / float(labels.seeds.mean()), 0.1 * spread)
    own = noise / labels.seeds
    kept = np.divide(between, between + own, out=np.zeros(len(prior)), where=between + own > 0)
    return Posterior(prior + kept * (labels.top1 - prior), np.sqrt(kept * own), float(np.sqrt(noise)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _last(curve: dict[int, float], offset: dict[int, float]) -> float:
    longest = max(curve)
    return curve[longest] + offset[longest]
