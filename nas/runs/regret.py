"""What one network for several targets loses on each of them, and the network that loses least.

The regret of a network on a target, in points of top-1 as a fraction: the best accuracy of any evaluated network that
keeps the latency asked for there and all other bounds, less its own. On one target the most is possible, and there
every network loses most. So of those that keep the bounds of all targets the most accurate has the least worst regret,
and a search for it minimises the error under all bounds together.

MobileNetV4 (arXiv 2404.10518, section 3) calls its networks "mostly Pareto-optimal" on all devices. That is another
property: the smallest network of a space has it everywhere, and a good network on one device may leave latency unused
on another. As an objective it leads to small networks, and to latencies at which little was evaluated; so it is told
of each network instead (`Known.on_front`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.files import read_json

SCHEMA, VERSION = "nas.universal", 2
SLACK = 1e-9  # relative: equal latencies summed in another order are equal
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatedNetworks:
    """All evaluated networks: latencies [N, T] on all targets, which keep a target's bounds [N, T], accuracies [N]."""

    latencies: Floats
    kept: NDArray[np.bool_]
    accuracies: Floats

    def regrets(self, accuracies: Floats) -> Floats:
        """Return the regrets [M, T] of networks with these accuracies [M]; below 0 for what no network kept."""
        possible = np.where(self.kept, self.accuracies[:, None], 0.0).max(0, initial=0.0)
        return np.asarray(possible - np.asarray(accuracies)[:, None])

    def on_front(self, latencies: Floats, accuracies: Floats) -> NDArray[np.bool_]:
        """Return on which targets no known network is at most as slow and more accurate [M, T]."""
        columns = zip(self.latencies.T, latencies.T, strict=True)
        best = np.stack([best_within(known, self.accuracies, own) for known, own in columns], 1)
        return np.asarray(best <= np.asarray(accuracies)[:, None])

    def least_regret(self, latency_budget: Floats) -> int:
        """Return the network of least worst regret that keeps all bounds; of equal ones the quickest in the mean."""
        shares = (self.latencies / latency_budget).mean(1)
        return int(np.lexsort((np.arange(len(shares)), shares, -self.accuracies, ~self.kept.all(1)))[0])


def best_within(latencies: Floats, accuracies: Floats, bounds: Floats) -> Floats:
    """Return the best accuracy [M] among points [N] with at most these latencies [M]; 0 where there is none."""
    order = np.argsort(latencies, kind="stable")
    best = np.concatenate([[0.0], np.maximum.accumulate(accuracies[order])])
    return np.asarray(best[np.searchsorted(latencies[order], bounds * (1 + SLACK), side="right")])


class RegretRow(NamedTuple):
    """What one network loses; arrays are [T]."""

    digest: str
    top1: float
    latencies: Floats
    regrets: Floats
    kept: NDArray[np.bool_]
    on_front: NDArray[np.bool_]


def table(targets: Sequence[str], rows: Mapping[str, RegretRow]) -> dict[str, Any]:
    """Return the JSON form of what networks, by name, lose on the targets."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "regret": "best top-1 of any network evaluated in this run that keeps the bounds of the target, less its own",
        "targets": list(targets),
        "networks": [
            {
                "name": name,
                "digest": row.digest,
                "top1": row.top1,
                "latency": dict(zip(targets, row.latencies.tolist(), strict=True)),
                "regret": dict(zip(targets, row.regrets.tolist(), strict=True)),
                "keeps_bounds": dict(zip(targets, row.kept.tolist(), strict=True)),
                "on_front": dict(zip(targets, row.on_front.tolist(), strict=True)),
                "worst_regret": float(row.regrets.max()) if row.kept.all() else None,
            }
            for name, row in rows.items()
        ],
    }


def read_table(path: Path, targets: Sequence[str]) -> dict[str, Any]:
    """Return the table for `targets` in `path`; `InvalidInput` where it is none of this release, or was altered."""
    data: dict[str, Any] = read_json(path)
    try:
        whole = table(targets, {one["name"]: _row(one, targets) for one in data["networks"]}) == data
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise InvalidInput(f"{path} is no table of regrets of this release; search with --from and --universal again")
    return data


def _row(one: Mapping[str, Any], targets: Sequence[str]) -> RegretRow:
    def column(name: str, kind: type) -> NDArray[Any]:
        return np.array([one[name][target] for target in targets], kind)

    floats = column("latency", float), column("regret", float)
    return RegretRow(one["digest"], one["top1"], *floats, column("keeps_bounds", bool), column("on_front", bool))
