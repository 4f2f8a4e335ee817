"""The HTML page of a comparison: fronts on every target, architectures, regret, hypervolumes, sweep of ridge points."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from latency_models.latency_error import error_of
from latency_models.roofline import Roofline
from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.compare.compare import Comparison, latency_budgets, records, ridge_candidates
from nas.errors import InvalidInput, UnknownName
from nas.protocols import LatencyModel
from nas.records.networks import Entry
from nas.records.results import PredictionError, display_text, title_of
from nas.records.verdict import Verdict, load_verdict
from nas.report.known_error import error_text
from nas.report.markup import number, short_count, table
from nas.report.page import architecture_place, figure_place, page, rounded
from nas.report.page_data import arch_number, page_data
from nas.report.result_card import NOT_COMPARED, network_card

MOST_TILES = 3  # runs that are shown as cards; more are rows of a table
REFERENCE = "mobilenetv4-conv-s"  # the baseline that a network found stands beside
EXPLANATIONS = {  # of the figures, by name
    "panels": "Bars: one standard error. Lines: the Pareto fronts on each target, among equal kinds of accuracy. "
    "Hover or use the arrow keys to read a point; click it or press Enter to see its network.",
    "pair": "Blocks of equal height stand beside each other. What differs is marked; bars are the time of each block.",
    "networks": "Predicted latency in milliseconds on each chosen target; a dot marks a member of the front. "
    "Column heads sort.",
    "regret": "Extra latency on the column's target of the fastest network found for the row's target, against the "
    "fastest found for the column's, at equal or better accuracy than the one chosen for the column's. "
    "Below 0 where the row's is faster, blank where nothing found for the row is that accurate.",
    "hypervolumes": "Area that the networks of an item dominate, as a share of that of all networks of the same kind.",
    "ridge": "A ridge point is peak MACs per second over bytes per second. Low ones are CPUs, high ones accelerators. "
    "Time is the roofline's alone, one byte per element (arXiv 2404.10518, Eq. 1).",
}


def html(comparison: Comparison, title: str = "Networks compared") -> str:
    """Return the comparison as one self-contained HTML page."""
    candidates, _ = ridge_candidates(comparison)
    models = dict(zip(comparison.targets, comparison.models, strict=True))
    target_notes = {name: notes_of_target(name) for name in comparison.targets}
    archs = [candidate.arch for candidate in candidates]
    data = page_data(comparison.entries, models, extra_archs=archs, target_notes=target_notes, first=0)
    own = {entry.name for entry in comparison.entries if entry.source != "reference"}
    kinds = list(dict.fromkeys(candidate.kind for candidate in candidates))
    data["ridge"] = {
        "kinds": [display_text(kind) for kind in kinds],
        "metrics": [title_of(kind) for kind in kinds],
        "candidates": [
            {
                "name": one.name,
                "kind": kinds.index(one.kind),
                "top1": one.top1,
                "standard_error": one.standard_error,
                "arch": arch_number(data, one.arch),
                "published": one.name not in own,
            }
            for one in candidates
        ],
    }  # fmt: skip
    if "energy_mj" in comparison.rows:
        table = comparison.rows["energy_mj"].to_numpy().reshape(len(comparison.targets), -1)  # [target][network]
        data["energy"] = [rounded(row) for row in table.T.tolist()]
    data["pair"] = list(_pair(comparison))
    data["budgets"] = [rounded(latency_budgets(comparison, target)) for target in comparison.targets]
    data["regrets"] = _regrets(comparison)
    data["hypervolumes"] = _hypervolumes(comparison)
    return page(title, _body(comparison, title, data), data, ("compare",))


def notes_of_target(name: str) -> list[str]:
    """Return what a page shows below the name of a target: unit, number type with ridge point, confidence."""
    target = load_target(name)
    confidence = target.peak_gmacs_per_s.confidence
    return [target.unit, f"{target.dtype}, ridge point {target.ridge_point:.3g} MACs/byte", f"values: {confidence}"]


def _body(comparison: Comparison, title: str, data: Mapping[str, Any]) -> str:
    count, targets = len(comparison.entries), len(comparison.targets)
    text = f"{count:,} networks on {targets:,} targets, latencies predicted by the model '{comparison.latency_model}'."
    heading, panels = _section("Accuracy against latency" if data["kinds"] else "Latency", "panels")
    charts = [heading, figure_place("targets", "choice of targets"), panels]
    pair = _section("Two networks side by side", "pair") if len(comparison.entries) > 1 else []
    more = _section("All networks", "networks")
    if data["regrets"]:
        more += _section("What was found for one target, used on another", "regret")
    if data["hypervolumes"]:
        more += _section("Hypervolume", "hypervolumes")
    if data["ridge"]["candidates"]:
        more += _section("Ridge points from 0 to 500", "ridge")
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    return "\n".join(
        [
            f'<header><h1>{escape(title)}</h1><p class="eyebrow">{escape(text)}</p>',
            *_runs_card(comparison),
            f"{figure_place('downloads', 'files to save')}</header>",
            f'<main><div class="split"><div>{"".join(charts)}</div>',
            f"{architecture_place()}</div>",
            *pair,
            *more,
            f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
            "</main>",
        ]
    )


def _runs_card(comparison: Comparison) -> list[str]:
    """Return the card of the runs compared: of each, the verdict, latency against budget, and accuracy."""
    found = [entry for entry in comparison.entries if entry.found_for and entry.chosen and entry.accuracy]
    firsts = list({entry.item: entry for entry in reversed(found)}.values())[::-1]  # by how each run chose
    if not firsts:
        return []
    if len(firsts) <= MOST_TILES:
        return [_run_tiles(entry, comparison) for entry in firsts]
    titles = sorted({title_of(entry.kind) for entry in firsts if entry.kind})
    score = "top-1 (%)" if titles in ([], ["top-1"]) else f"{' or '.join(titles)} x 100"
    head = ("network found", "for", "latency", "budget", score, "MACs", "parameters", "against the baseline")
    rows = [_run_row(entry, comparison) for entry in firsts]
    return ['<section class="card" aria-label="the networks found">', table(head, rows), "</section>"]


def _run_tiles(entry: Entry, comparison: Comparison) -> str:
    """Return the card of one run."""
    model = _model_of(entry.found_for, comparison)
    latency = None if model is None else model.predict_ms(entry.arch)
    unit = "ms" if model is None else getattr(model, "unit", "ms")
    assert entry.accuracy is not None  # of the entries that come here
    return network_card(
        entry.name, entry.found_for, entry.arch, entry.accuracy, latency, unit, entry.latency_budget, _verdict(entry),
        _error(entry.arch, model),
    )  # fmt: skip


def _error(arch: ArchSpec, model: LatencyModel | None) -> PredictionError | None:
    """Return the error of a latency that `model` predicts, None where that is not known."""
    if not isinstance(model, Roofline):
        return None
    known = error_of(model, arch)
    return PredictionError(known.percent, known.mean_percent, known.basis, model.setup, None)


def _run_row(entry: Entry, comparison: Comparison) -> tuple[str, ...]:
    """Return the row of a network found: its latency is that on the target that it was found for."""
    model = _model_of(entry.found_for, comparison)
    latency = "" if model is None else f"{number(model.predict_ms(entry.arch))} {getattr(model, 'unit', 'ms')}"
    latency = f"{latency} {error_text(_error(entry.arch, model))}".strip()
    top1 = f"{100 * entry.top1:.1f} \u00b1 {100 * entry.standard_error:.1f}"
    budget = number(entry.latency_budget) if entry.latency_budget else ""
    sizes = short_count(entry.arch.macs), short_count(entry.arch.params)
    verdict = _verdict(entry)
    text = verdict.text if verdict else NOT_COMPARED.lower()
    return entry.name, entry.found_for, latency, budget, top1, *sizes, text


def _verdict(entry: Entry) -> Verdict | None:
    """Return the verdict of the run that an entry is the result of, None where it has none."""
    return load_verdict(entry.folder) if entry.folder else None


def _model_of(target: str, comparison: Comparison) -> LatencyModel | None:
    """Return the model of a device, None for an abstract device or several."""
    try:
        return load_target(target).model(comparison.latency_model)
    except (InvalidInput, UnknownName):
        return None


def _pair(comparison: Comparison) -> tuple[int, int]:
    """Return the numbers of the two networks side by side at first: one found, and another one or the baseline."""
    entries = comparison.entries
    first = next((i for i, entry in enumerate(entries) if entry.chosen and entry.source != "reference"), 0)
    others = [i for i, entry in enumerate(entries) if i != first]
    form = entries[first].arch.input_shape, entries[first].arch.num_classes
    alike = [i for i in others if (entries[i].arch.input_shape, entries[i].arch.num_classes) == form]
    base = [i for i in alike if entries[i].source == "reference" and entries[i].name.startswith(REFERENCE)]
    chosen = [i for i in others if entries[i].chosen and entries[i].source != "reference"]
    return first, next(iter([*chosen, *base, *others]), first)


def _section(title: str, name: str) -> list[str]:
    """Return the heading, the explanation and the element of the figure `name`."""
    return [f'<h2>{escape(title)}</h2><p class="soft">{escape(EXPLANATIONS[name])}</p>', figure_place(name, title)]


def _regrets(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one matrix per kind of accuracy: the columns' runs, and rows of cells, None where there is none."""
    matrices = []
    for kind, rows in comparison.regrets.groupby("accuracy_kind", sort=False):
        cells = {(row["item"], row["best_item"]): row for row in records(rows)}
        own = rows.drop_duplicates("best_item")
        columns = [
            {"label": _run_label(item, target), "item": item, "target": target, "top1": top1}
            for item, target, top1 in zip(own["best_item"], own["used_on"], own["least_top1"], strict=True)
        ]
        found = dict(zip(rows["item"], rows["found_for"], strict=True))
        matrix = [
            {
                "label": _run_label(item, target),
                "item": item,
                "cells": [_cell(cells[item, column["item"]]) for column in columns],
            }
            for item, target in found.items()
        ]
        matrices.append({"kind": display_text(str(kind)), "columns": columns, "rows": matrix})
    return matrices


def _run_label(item: str, target: str) -> str:
    return item if target in item else f"{target} ({item})"


def _cell(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a cell of the matrix of regret, None where nothing found for the row is accurate enough."""
    if row["extra"] != row["extra"]:
        return None
    latency_ms, best_ms, extra = rounded([row["latency_ms"], row["best_latency_ms"], row["extra"]])
    return {
        "extra": extra, "network": row["network"], "latency_ms": latency_ms, "best_network": row["best_network"],
        "best_latency_ms": best_ms,
    }  # fmt: skip


def _hypervolumes(comparison: Comparison) -> list[dict[str, Any]]:
    """Return per item with several networks its hypervolume on every target, and the share of that of its kind."""
    volumes = comparison.hypervolumes
    together = volumes[volumes["item"] == "all"].set_index(["target", "accuracy_kind"])["hypervolume"].to_dict()
    found = []
    for item, rows in volumes[(volumes["item"] != "all") & (volumes["points"] > 1)].groupby("item", sort=False):
        own: Sequence[Any] = records(rows)
        shares = [row["hypervolume"] / together[row["target"], row["accuracy_kind"]] for row in own]
        found.append(
            {"item": item, "share": rounded(shares), "hypervolume": rounded([row["hypervolume"] for row in own])}
        )
    return found
