"""Regret between targets: the extra latency on one target of what was found for another, at equal or better accuracy.

Take runs A and B with accuracies of one kind, and let `least_top1` be the accuracy of the network that run B chose. The
regret is the latency on B's target of the fastest network of A (its chosen one and its front, or its finalists) that
reaches `least_top1`, against that of B's own fastest one. So a run has no regret against itself; where nothing of A
reaches `least_top1`, there is no number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from latency_models.kernel_times import kernel_columns, kernel_times, totals
from latency_models.target import load_target
from nas.errors import InvalidInput, UnknownName
from nas.protocols import LatencyModel
from nas.records.networks import Entry

COLUMNS = [
    "found_for", "item", "used_on", "best_item", "accuracy_kind", "least_top1", "network", "latency_ms",
    "best_network", "best_latency_ms", "extra_ms", "extra",
]  # fmt: skip


@dataclass(frozen=True)
class _RunNetworks:
    """The networks that a run found for its target, with accuracies of one kind, and the accuracy of the chosen one."""

    item: str
    target: str
    kind: str
    entries: tuple[Entry, ...]
    top1: float


def regrets(entries: Sequence[Entry], models: Mapping[str, LatencyModel], latency_model: str) -> pd.DataFrame:
    """Return one row per ordered pair of runs of one kind.

    Columns: found_for and item (run A), used_on and best_item (B's target and run), accuracy_kind, least_top1, network
    and latency_ms (A's fastest on B's target that reaches it, "" and NaN where none does), best_network and
    best_latency_ms (B's), extra_ms and extra (of A's over B's, as a fraction). `models` are those of the compared
    targets; a run whose target is not among them is priced on its own. Empty with fewer than two targets.
    """
    runs = _networks_of_runs(entries)
    rows: list[list[object]] = []
    if len({run.target for run in runs}) > 1:
        for best in runs:
            model = models.get(best.target) or _model(best.target, latency_model)
            if model is None:
                continue
            for run in runs:
                if run.kind == best.kind:
                    rows.append(_row(run, best, model))
    return pd.DataFrame(rows, columns=COLUMNS)


def _networks_of_runs(entries: Sequence[Entry]) -> list[_RunNetworks]:
    found = []
    for item in dict.fromkeys(entry.item for entry in entries if entry.found_for and entry.accuracy):
        chosen, *others = (entry for entry in entries if entry.item == item)
        own = (chosen, *(entry for entry in others if entry.kind == chosen.kind))
        found.append(_RunNetworks(item, chosen.found_for, chosen.kind, own, chosen.top1))
    return found


def _model(target: str, latency_model: str) -> LatencyModel | None:
    """Return the model of a target that is not compared, None for an abstract device or an unknown target."""
    try:
        return load_target(target).model(latency_model)
    except (InvalidInput, UnknownName):
        return None


def _row(run: _RunNetworks, best: _RunNetworks, model: LatencyModel) -> list[object]:
    name, latency_ms = _fastest(run, best.top1, model)
    best_name, best_ms = _fastest(best, best.top1, model)
    pair = [run.target, run.item, best.target, best.item, best.kind, best.top1]
    return [*pair, name, latency_ms, best_name, best_ms, latency_ms - best_ms, latency_ms / best_ms - 1]


def _fastest(run: _RunNetworks, least_top1: float, model: LatencyModel) -> tuple[str, float]:
    """Return the name and latency of the run's fastest network that reaches the accuracy, ("", NaN) for none."""
    accurate = [entry for entry in run.entries if entry.top1 >= least_top1]
    if not accurate:
        return "", float("nan")
    columns = kernel_columns([entry.arch for entry in accurate])
    latencies = totals(columns, kernel_times(columns, model)[0], model)
    fastest = int(np.argmin(latencies))
    return accurate[fastest].name, latencies[fastest]
