"""How much a network loses on a target against what is known to be possible there, and the network that loses least.

The regret of a network on a target, in points of top-1 as a fraction: the best accuracy of any evaluated network that
takes at most its latency on this target, less its own accuracy. It is 0 exactly for the networks on the target's front
of accuracy against latency, so "Pareto-optimal on every target" (MobileNetV4, arXiv 2404.10518, section 3) is a worst
regret of 0. The alternative, extra latency at equal accuracy, moves in large jumps where a front is flat, and has no
value for networks more accurate than any other; points of accuracy are what a user gives up.

The smallest network of a space stands on every front. So a universal network has to use what it may: it keeps the
wanted latency on every target, and on one it goes at least `REACH` of the way there from the fastest network (where all
networks take about as long, a share of the latency itself would ask for nothing).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACH = 0.95  # of the way from the fastest network to the wanted latency, on one target at least
SLACK = 1e-9  # relative: equal latencies summed in another order are equal
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """What is possible: the latencies [N, T] of the evaluated networks on all targets, and their accuracies [N]."""

    latencies: Floats
    accuracies: Floats

    def regrets(self, latencies: Floats, accuracies: Floats) -> Floats:
        """Return the regret [M, T] of networks with these latencies [M, T] and accuracies [M].

        Below 0 where a network beats all that is known; its negative accuracy where it is faster than all of them.
        """
        columns = [
            best_within(self.latencies[:, t], self.accuracies, latencies[:, t]) - accuracies
            for t in range(latencies.shape[1])
        ]
        return np.stack(columns, 1)


def best_within(latencies: Floats, accuracies: Floats, bounds: Floats) -> Floats:
    """Return the best accuracy [M] among points [N] with at most these latencies [M]; 0 where there is none."""
    order = np.argsort(latencies, kind="stable")
    best = np.concatenate([[0.0], np.maximum.accumulate(accuracies[order])])
    return np.asarray(best[np.searchsorted(latencies[order], bounds * (1 + SLACK), side="right")])


def shares_used(latencies: Floats, fastest: Floats, wanted: Floats) -> Floats:
    """Return how far networks go from the `fastest` to the `wanted` latency [T], 1 at the latter: [N, T].

    Where the wanted latency is that of the fastest, all of it is used.
    """
    way = np.asarray(wanted) - fastest
    return np.where(way > SLACK * np.asarray(wanted), (latencies - fastest) / np.where(way > 0, way, 1), 1.0)


def objective(regrets: Floats, shares: Floats) -> Floats:
    """Return what a search minimises [N]: the worst regret, or above 1 what is missing to `REACH`.

    `regrets` [N, T]; `shares` [N, T] as by `shares_used`.
    """
    missing = REACH - shares.max(1, initial=0)
    return np.where(missing > 0, 1 + missing, regrets.max(1, initial=-1))


def least_regret(known: Known, shares: Floats, kept: NDArray[np.bool_]) -> int:
    """Return which of the known networks to take among those `kept` [N]: least worst regret, then most accurate."""
    value = objective(known.regrets(known.latencies, known.accuracies), shares)
    order = np.lexsort((np.arange(len(value)), shares.max(1), -known.accuracies, value, ~kept))
    return int(order[0])


def table(targets: Sequence[str], rows: Mapping[str, tuple[str, Floats, float, Floats]]) -> dict[str, object]:
    """Return the JSON form of what networks lose: rows are name -> (digest, latencies [T], top-1, regrets [T])."""
    return {
        "schema": "nas.universal",
        "version": 1,
        "regret": "best top-1 of any network evaluated in this run that takes at most this latency, less its own",
        "targets": list(targets),
        "networks": [
            {
                "name": name,
                "digest": digest,
                "top1": top1,
                "latency": dict(zip(targets, latencies.tolist(), strict=True)),
                "regret": dict(zip(targets, regrets.tolist(), strict=True)),
                "worst_regret": float(regrets.max()),
            }
            for name, (digest, latencies, top1, regrets) in rows.items()
        ],
    }
