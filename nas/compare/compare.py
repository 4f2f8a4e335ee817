"""Compare networks on several targets: accuracy against latency, Pareto fronts, hypervolumes, regret.

Only accuracies of one kind (data, resolution, width, how obtained) share a front, a hypervolume or an axis. What has no
accuracy is compared by latency alone; so are references that were rebuilt for the input of a network beside them.
How many targets a network is Pareto-optimal on is the question of arXiv 2404.10518, section 1 and Fig. 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latency_models.energy import Energy
from latency_models.kernel_times import kernel_columns, kernel_times, totals
from latency_models.latency_error import LatencyError, error_of
from latency_models.roofline import Roofline
from latency_models.target import Target, load_target, target_names
from latency_models.unsupported import Unsupported, refusals_by_name, refused_by
from nas.compare.regret_matrix import regrets
from nas.compare.ridge_sweep import SweptNetwork, published_candidates
from nas.errors import InvalidInput
from nas.protocols import LatencyModel
from nas.records.networks import PUBLISHED_KIND, Entry, baselines, has_accuracy, load_items, proxy_notes
from nas.records.verdict import load_verdict
from nas.report.known_error import error_on
from nas.search.pareto import hypervolume_2d, non_dominated
from nas.zoo import BASELINES

ALL_TARGETS = "all"
MOST_SHOWN = 100  # networks on a page
MOST_NAMED = 5  # networks in a note
HYPERVOLUME_MARGIN = 1.1  # the reference point lies at this multiple of the largest latency, at accuracy 0


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison: networks on targets as data frames.

    `rows`: one row per architecture and target: item, name, source, chosen, found_for, digest, target, latency_ms,
    latency_error_percent (half-width that holds 90 % of unseen networks, NaN where it is unknown), energy_mj (only
    where it was asked for), top1, standard_error, accuracy_kind ("" without accuracy), macs, params, on_front (within
    target and kind).
    `hypervolumes`: target, accuracy_kind, item ("all" for all together), points, reference_latency_ms, hypervolume in
    ms x top-1: the area between the points and (reference latency, top-1 of 0).
    `optimal`: one row per architecture with an accuracy: name, item, source, chosen, accuracy_kind, top1,
    targets_on_front, targets, share.
    `regrets`: see `nas.compare.regret_matrix`.
    """

    rows: pd.DataFrame
    hypervolumes: pd.DataFrame
    optimal: pd.DataFrame
    regrets: pd.DataFrame
    targets: tuple[str, ...]
    latency_model: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    models: tuple[LatencyModel, ...] = field(default=(), repr=False)  # one per target
    errors: tuple[LatencyError, ...] = ()  # of the predicted latencies, one per target
    setups: tuple[str, ...] = ()  # runtime, threads and dtype, one per target

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of accuracy that occur, in order of appearance."""
        return tuple(kind for kind in self.rows["accuracy_kind"].unique() if kind)

    def of_most_interest(self, most: int = MOST_SHOWN) -> "Comparison":
        """Return the comparison of at most so many networks, for pages and plots, with a note where it leaves some out.

        Kept are those that runs chose, then those on the most fronts, then some of every latency on the first target.
        """
        count = len(self.entries)
        if count <= most:
            return self
        fronts = self.rows["on_front"].to_numpy(bool).reshape(len(self.targets), count).sum(0)
        by_latency = np.argsort(self.rows["latency_ms"].to_numpy(float)[:count], kind="stable")
        spread = np.full(count, 1.0)
        spread[by_latency] = _spread_order(count)
        chosen = np.array([entry.chosen or entry.source == "reference" for entry in self.entries])
        kept = np.zeros(count, bool)
        kept[np.lexsort((spread, -fronts, ~chosen))[:most]] = True
        note = (
            f"pages and plots show {most} of {count:,} networks: those that runs chose, those on most fronts, and some "
            "of every latency; the tables have all"
        )
        return replace(
            self,
            rows=self.rows[np.tile(kept, len(self.targets))].reset_index(drop=True),
            entries=tuple(entry for entry, one in zip(self.entries, kept, strict=True) if one),
            notes=(*self.notes, note),
        )

    def is_published(self, kind: str) -> bool:
        """Return whether accuracies of this kind are published ones of reference networks."""
        return kind in PUBLISHED_KIND.values()


def compare(
    items: Sequence[str | Path],
    targets: Sequence[str] = (ALL_TARGETS,),
    latency_model: str = "default",
    *,
    energy: bool = False,
) -> Comparison:
    """Return the comparison of `items` on `targets`, by default on every device that ships.

    An item is a run folder (or RUN/TARGET), a folder of a trained network, a spec file, the name of a reference, or
    "zoo" for all references of a phone's size. References that are named have their published accuracy, a kind of its
    own. For each input of the other networks, the usual references are rebuilt, without accuracy. Raises `InvalidInput`
    or `UnknownName` in one line for an item that is none of these, for an unknown target or model, and where `energy`
    is asked of a target without values for it.
    """
    names = target_names() if list(targets) == [ALL_TARGETS] else targets
    if not items or not names:
        raise InvalidInput("compare needs at least one run, spec or reference network and one target")
    devices = {name: load_target(name) for name in dict.fromkeys(names)}
    models = {name: device.model(latency_model) for name, device in devices.items()}
    energies = {name: device.energy_model() for name, device in devices.items()} if energy else {}
    named = load_items(items)
    references, notes = baselines(named)
    entries = named + references
    rows = _table(entries, models, energies)
    rows["on_front"] = False
    volumes = []
    runs = np.array([not refused_by(device, entry.arch) for device in devices.values() for entry in entries])
    for (target, kind), group in _groups(rows[runs]):  # what a target does not run has no latency there
        rows.loc[group.index, "on_front"] = non_dominated(group[["latency_ms", "top1"]].to_numpy(), (True, False))
        volumes += _hypervolumes(str(target), str(kind), group)
    return Comparison(
        rows=rows,
        hypervolumes=_frame(
            volumes, ["target", "accuracy_kind", "item", "points", "reference_latency_ms", "hypervolume"]
        ),
        optimal=_optimal(rows),
        regrets=regrets(named, models, latency_model),
        targets=tuple(models),
        latency_model=latency_model,
        notes=tuple(_verdicts(entries)) + notes + proxy_notes(entries) + tuple(_refusals(entries, devices)),
        entries=tuple(entries),
        models=tuple(models.values()),
        errors=tuple(error_on(model, [entry.arch for entry in entries]) for model in models.values()),
        setups=tuple(model.setup for model in models.values()),
    )


def _spread_order(count: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return for each of `count` places in a row its turn, so that the first n in turn lie evenly (van der Corput)."""
    bits = max(1, (count - 1).bit_length())
    reversed_bits = [int(f"{place:0{bits}b}"[::-1], 2) for place in range(count)]
    return np.array(reversed_bits, np.float64)


def _verdicts(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a sentence on every run that was compared with a baseline."""
    for entry in entries:
        if entry.folder and (verdict := load_verdict(entry.folder)):
            yield f"{entry.name}: {verdict.text}"


def _refusals(entries: Sequence[Entry], devices: Mapping[str, Target]) -> Iterator[str]:
    """Yield a sentence on every op or activation that a target does not run, with the networks that have it."""
    for name, device in devices.items():
        having: dict[Unsupported, list[str]] = {}
        for entry in entries if device.unsupported else ():
            for one in refusals_by_name(device, entry.arch):
                having.setdefault(one, []).append(entry.name)
        for one, networks in having.items():
            shown = networks if len(networks) <= MOST_NAMED else networks[:MOST_NAMED]
            more = f" and {len(networks) - len(shown)} more" if len(networks) > len(shown) else ""
            yield f"{name} runs no {one.name}, {one.consequence}: {', '.join(shown)}{more} ({one.source})"


def latency_budgets(comparison: Comparison, target: str) -> list[float]:
    """Return the latency budgets of the compared runs that searched for `target`, each once."""
    names = {target, load_target(target).name}
    own = (entry.latency_budget for entry in comparison.entries if entry.found_for in names)
    return list(dict.fromkeys(budget for budget in own if budget))


def ridge_candidates(comparison: Comparison) -> tuple[list[SweptNetwork], list[str]]:
    """Return the networks for a ridge sweep of the comparison, and the names of those left out for want of an accuracy.

    Runs and trainings have the accuracy they reached. The reference networks have their published one, a kind of its
    own: those that were compared, or beside runs and specs the usual ones, each at its own resolution.
    """
    own = [entry for entry in comparison.entries if entry.source != "reference"]
    named = [entry.name for entry in comparison.entries if entry.published_top1 is not None]
    unknown = [] if own else [entry.name for entry in comparison.entries if not has_accuracy(entry.name)]
    found = [SweptNetwork(one.name, one.arch, one.top1, one.kind, one.standard_error) for one in own if one.accuracy]
    found += published_candidates(named or ([] if unknown else BASELINES))
    return found, [one.name for one in own if not one.accuracy] + unknown


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries."""
    return [dict(zip(rows.columns, values, strict=True)) for values in rows.itertuples(index=False)]


def _table(
    entries: Sequence[Entry], models: Mapping[str, LatencyModel], energies: Mapping[str, Energy]
) -> pd.DataFrame:
    """Return one row per target and entry, without `on_front`."""
    columns = kernel_columns([entry.arch for entry in entries])
    fixed = [_fixed_columns(entry) for entry in entries]
    rows = []
    for target, model in models.items():
        latencies = totals(columns, kernel_times(columns, model)[0], model)
        for entry, values, latency_ms in zip(entries, fixed, latencies, strict=True):
            percent = error_of(model, entry.arch).percent if isinstance(model, Roofline) else None
            costs = {"target": target, "latency_ms": latency_ms, "latency_error_percent": float(percent or "nan")}
            if target in energies:
                costs["energy_mj"] = energies[target].predict_mj(entry.arch)
            rows.append(values[0] | costs | values[1])
    return pd.DataFrame(rows)


def _fixed_columns(entry: Entry) -> tuple[dict[str, object], dict[str, object]]:
    """Return the columns of an entry that are the same on every target: those before and those behind the target's."""
    return {
        "item": entry.item,
        "name": entry.name,
        "source": entry.source,
        "chosen": entry.chosen,
        "found_for": entry.found_for,
        "digest": entry.arch.digest,
    }, {
        "top1": entry.top1,
        "standard_error": entry.standard_error,
        "accuracy_kind": entry.kind,
        "macs": entry.arch.macs,
        "params": entry.arch.params,
    }


def _groups(rows: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield ((target, kind), rows) for every kind of accuracy."""
    with_accuracy = rows[rows["accuracy_kind"] != ""]
    yield from with_accuracy.groupby(["target", "accuracy_kind"], sort=False)


def _hypervolumes(target: str, kind: str, group: pd.DataFrame) -> list[tuple[str, str, str, int, float, float]]:
    """Return the hypervolume of all points of one target and kind, and where there are several items, of each item."""
    corner = HYPERVOLUME_MARGIN * float(group["latency_ms"].max())
    points = np.stack([group["latency_ms"], 1 - group["top1"]], axis=1)
    items = group["item"].to_numpy()
    distinct = list(dict.fromkeys(items))
    parts: list[tuple[str, Any]] = [("all", np.full(len(items), True))]
    if len(distinct) > 1:
        parts += [(str(item), items == item) for item in distinct]
    return [
        (target, kind, item, int(kept.sum()), corner, hypervolume_2d(points[kept], (corner, 1.0)))
        for item, kept in parts
    ]


def _optimal(rows: pd.DataFrame) -> pd.DataFrame:
    """Return on how many targets each network with an accuracy is on the front of its kind, the most first."""
    keys = ["name", "item", "source", "chosen", "accuracy_kind", "top1"]
    known = rows[rows["accuracy_kind"] != ""]
    if known.empty:
        return _frame([], [*keys, "targets_on_front", "targets", "share"])
    counted = known.groupby(keys, sort=False)["on_front"].agg(["sum", "size"]).reset_index()
    counted = counted.rename(columns={"sum": "targets_on_front", "size": "targets"})
    counted["share"] = counted["targets_on_front"] / counted["targets"]
    order = ["accuracy_kind", "share", "top1"]
    return counted.sort_values(order, ascending=[True, False, False], kind="stable", ignore_index=True)


def _frame(rows: Sequence[Sequence[object]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns)
