"""Regret of one network that serves several targets, and the network of minimax regret.

The regret of a network on a target, a difference of top-1 as a fraction: the best accuracy of any evaluated network
that keeps the latency budget there and all other bounds, less its own. The target on which the best accuracy is largest
gives every network its worst regret. So among the networks that keep the bounds of all targets, the most accurate one
has the least worst regret, and a search for it minimises the error under all bounds together.

MobileNetV4 (arXiv 2404.10518, section 3) calls its networks "mostly Pareto-optimal" on all devices. That is another
property: the smallest network of a space has it everywhere, and a good network on one device may leave latency unused
on another. As an objective it leads to small networks, and to latencies at which little was evaluated; so it is
reported of each network instead (`EvaluatedNetworks.on_front`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.files import read_json
from nas.records.typed import Fraction, Positive, check_fields

SCHEMA, VERSION = "nas.universal", 2
BEST, LESS = "best", "of any network evaluated in this run that keeps the bounds of the target, less its own"
NETWORK: dict[str, Any] = {
    "name": str, "digest": str, "top1": Fraction, "latency": dict[str, Positive], "regret": dict[str, float],
    "keeps_bounds": dict[str, bool], "on_front": dict[str, bool], "worst_regret": float | None,
}  # fmt: skip
SLACK = 1e-9  # relative: equal latencies summed in another order are equal
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatedNetworks:
    """All evaluated networks, N of them, on T targets."""

    latencies: Floats  # [N, T]
    kept: NDArray[np.bool_]  # [N, T]: whether the bounds of the target are kept
    accuracies: Floats  # [N]

    def regrets(self, accuracies: Floats) -> Floats:
        """Return the regrets [M, T] of networks with these accuracies [M].

        Where no evaluated network keeps the bounds of a target, the best accuracy there counts as 0.
        """
        possible = np.where(self.kept, self.accuracies[:, None], 0.0).max(0, initial=0.0)
        return np.asarray(possible - np.asarray(accuracies)[:, None])

    def on_front(self, latencies: Floats, accuracies: Floats) -> NDArray[np.bool_]:
        """Return on which targets networks are on the front [M, T]: none is at least as fast and more accurate."""
        columns = zip(self.latencies.T, latencies.T, strict=True)
        best = np.stack([best_within(known, self.accuracies, own) for known, own in columns], 1)
        return np.asarray(best <= np.asarray(accuracies)[:, None])

    def least_regret(self, latency_budget: Floats) -> int:
        """Return the index of the network of least worst regret that keeps all bounds.

        Of equal ones it is the one of the lowest mean latency, relative to the budgets.
        """
        shares = (self.latencies / latency_budget).mean(1)
        return int(np.lexsort((np.arange(len(shares)), shares, -self.accuracies, ~self.kept.all(1)))[0])


def best_within(latencies: Floats, accuracies: Floats, bounds: Floats) -> Floats:
    """Return the best accuracy [M] among networks [N] whose latencies are within `bounds` [M]; 0 for none."""
    order = np.argsort(latencies, kind="stable")
    best = np.concatenate([[0.0], np.maximum.accumulate(accuracies[order])])
    return np.asarray(best[np.searchsorted(latencies[order], bounds * (1 + SLACK), side="right")])


class RegretRow(NamedTuple):
    """The regrets of one network on T targets; arrays are [T]."""

    digest: str
    top1: float
    latencies: Floats
    regrets: Floats
    kept: NDArray[np.bool_]
    on_front: NDArray[np.bool_]


def regret_table(targets: Sequence[str], rows: Mapping[str, RegretRow], title: str = "top-1") -> dict[str, Any]:
    """Return the content of universal.json: the regrets of networks, by name, on the targets.

    `title` is that of the metric whose differences they are.
    """
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "regret": f"{BEST} {title} {LESS}",
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


def read_regret_table(path: Path, targets: Sequence[str]) -> dict[str, Any]:
    """Return the table of regrets in `path`; `InvalidInput` where it is none of this release, or was altered."""
    data: dict[str, Any] = read_json(path)
    try:
        for one in data["networks"]:
            check_fields(one, NETWORK)
        title = str(data["regret"]).removeprefix(f"{BEST} ").removesuffix(f" {LESS}")
        intact = regret_table(targets, {one["name"]: _row(one, targets) for one in data["networks"]}, title) == data
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        intact = False
    if not intact:
        raise InvalidInput(f"{path} is no table of regrets of this release; search with --from and --universal again")
    return data


def _row(one: Mapping[str, Any], targets: Sequence[str]) -> RegretRow:
    """Return the row with the JSON form `one`."""

    def column(name: str, kind: type) -> NDArray[Any]:
        return np.array([one[name][target] for target in targets], kind)

    floats = column("latency", float), column("regret", float)
    return RegretRow(one["digest"], one["top1"], *floats, column("keeps_bounds", bool), column("on_front", bool))
