"""The regret of hardware: how much slower on one device is what was found for another, at equal or better accuracy.

For runs A and B with accuracies of one kind, and `bar` the accuracy of the network that run B chose: of the networks of
A of that kind (its chosen one and its front, or its finalists) the quickest on B's target that reaches `bar`, against
B's own. So a run has no regret against itself; where nothing of A reaches `bar`, there is no number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from latency_models.kernel_times import kernel_columns, kernel_times, totals
from latency_models.target import load_target
from nas.errors import InvalidInput, UnknownName
from nas.protocols import LatencyModel
from nas.records.networks import Entry

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "found_for", "item", "used_on", "best_item", "accuracy_kind", "least_top1", "network", "latency_ms",
    "best_network", "best_latency_ms", "extra_ms", "extra",
]  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """What one run found: its target, the kind of its accuracies, all networks, the accuracy of the chosen one."""

    item: str
    target: str
    kind: str
    entries: tuple[Entry, ...]
    top1: float


def regrets(entries: Sequence[Entry], models: Mapping[str, LatencyModel], latency_model: str) -> "pd.DataFrame":
    """Return one row per ordered pair of runs of one kind.

    Columns: found_for and item (run A), used_on and best_item (B's target and run), accuracy_kind, least_top1 (`bar`),
    network and latency_ms (A's quickest on B's target that reaches it, "" and NaN where none does), best_network and
    best_latency_ms (B's), extra_ms and extra (of A's over B's, as a fraction). `models` are those of the compared
    targets; a run whose target is not among them is priced on its own. Empty with fewer than two targets.
    """
    import pandas as pd

    runs = _runs(entries)
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


def _runs(entries: Sequence[Entry]) -> list[_Found]:
    found = []
    for item in dict.fromkeys(entry.item for entry in entries if entry.found_for and entry.accuracy):
        chosen, *others = (entry for entry in entries if entry.item == item)
        own = (chosen, *(entry for entry in others if entry.kind == chosen.kind))
        found.append(_Found(item, chosen.found_for, chosen.kind, own, chosen.top1))
    return found


def _model(target: str, latency_model: str) -> LatencyModel | None:
    """Return the model of a target that is not compared, None for an abstract device or one that is not here."""
    try:
        return load_target(target).model(latency_model)
    except (InvalidInput, UnknownName):
        return None


def _row(run: _Found, best: _Found, model: LatencyModel) -> list[object]:
    name, latency_ms = _quickest(run, best.top1, model)
    best_name, best_ms = _quickest(best, best.top1, model)
    pair = [run.target, run.item, best.target, best.item, best.kind, best.top1]
    return [*pair, name, latency_ms, best_name, best_ms, latency_ms - best_ms, latency_ms / best_ms - 1]


def _quickest(run: _Found, least_top1: float, model: LatencyModel) -> tuple[str, float]:
    """Return the name and latency of the run's quickest network that reaches the accuracy, ("", NaN) for none."""
    fit = [entry for entry in run.entries if entry.top1 >= least_top1]
    if not fit:
        return "", float("nan")
    columns = kernel_columns([entry.arch for entry in fit])
    latencies = totals(columns, kernel_times(columns, model)[0], model)
    quickest = int(np.argmin(latencies))
    return fit[quickest].name, latencies[quickest]
