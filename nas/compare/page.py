"""The HTML page of a comparison: fronts on every target, architectures, regret, hypervolumes, sweep of ridge points."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from latency_models.target import load_target
from nas.compare.compare import Comparison, records, ridge_candidates
from nas.records.results import display_text
from nas.report.page import architecture_place, figure_place, page, rounded
from nas.report.page_data import arch_number, page_data

EXPLANATIONS = {  # of the figures, by name
    "panels": "Lines are the Pareto fronts on each target, among networks of the same kind of accuracy. "
    "Hover or use the arrow keys to read a point; click it or press Enter to see its network.",
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
        "candidates": [
            {
                "name": one.name,
                "kind": kinds.index(one.kind),
                "top1": one.top1,
                "arch": arch_number(data, one.arch),
                "published": one.name not in own,
            }
            for one in candidates
        ],
    }  # fmt: skip
    if "energy_mj" in comparison.rows:
        table = comparison.rows["energy_mj"].to_numpy().reshape(len(comparison.targets), -1)  # [target][network]
        data["energy"] = [rounded(row) for row in table.T.tolist()]
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
    charts = [
        figure_place("targets", "choice of targets"),
        *_section("Accuracy against latency" if data["kinds"] else "Latency", "panels"),
    ]
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
            f'<header><h1>{escape(title)}</h1><p class="soft">{escape(text)}</p></header>',
            f'<main><div class="split"><div>{"".join(charts)}</div>',
            f"{architecture_place()}</div>",
            *more,
            f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
            "</main>",
        ]
    )


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
