"""A comparison as tables: networks against targets, the regret between runs, and the hypervolume of each item."""

import math
from contextlib import suppress
from typing import Any

import pandas as pd

from latency_models.latency_error import COMPUTED, LatencyError, percent_text
from latency_models.target import load_target
from nas.compare.compare import Comparison, records
from nas.errors import InvalidInput
from nas.records.results import display_text, title_of
from nas.report.terminal_table import Column, FittedTable, short_number

UNMEASURED = "±?"  # behind the latency of a network with kernels that were not measured, on a device of known error
COLUMNS = 3  # targets side by side, so that they find room in 80 characters


def tables(comparison: Comparison) -> list[FittedTable]:
    """Return the comparison as tables: networks, then regret and hypervolumes where there are any."""
    chunks = [comparison.targets[i : i + COLUMNS] for i in range(0, len(comparison.targets), COLUMNS)]
    found = [_networks(comparison, chunk, last=chunk is chunks[-1]) for chunk in chunks]
    for kind in comparison.regrets["accuracy_kind"].unique():
        found += _regret(comparison, str(kind))
    volumes = comparison.hypervolumes
    if fronts := list(volumes[(volumes["item"] != "all") & (volumes["points"] > 1)]["item"].unique()):
        found.append(_hypervolumes(comparison, fronts))
    return found


def _networks(comparison: Comparison, targets: tuple[str, ...], last: bool) -> FittedTable:
    """Return a row per network: accuracy, latency on each of `targets`, with * where on the front, and costs."""
    letters = {kind: chr(ord("A") + i) for i, kind in enumerate(comparison.kinds)}
    energy = "energy_mj" in comparison.rows
    errors = dict(zip(comparison.targets, comparison.errors, strict=False))
    titles = [
        f"{target}{_batch(comparison, target)}{', mJ' if energy else ''}{_known(errors.get(target))}"
        for target in targets
    ]
    titles_of_kinds = {title_of(kind) for kind in comparison.kinds} or {"top-1"}
    score = "top-1 %" if titles_of_kinds == {"top-1"} else f"{' or '.join(sorted(titles_of_kinds))} x 100"
    table = FittedTable(
        "predicted latency in ms; * on the front of its target among equal kinds of accuracy",
        [
            Column("network", fold=True, least=24), Column(score, True), Column("kind", True, drop=1),
            *(Column(title, True) for title in titles), Column("on the front of", True, drop=4),
            Column("MACs", True, drop=2), Column("parameters", True, drop=3),
        ],
    )  # fmt: skip
    counted = {row["name"]: row for row in records(comparison.optimal)}
    cells = {(row["name"], row["target"]): row for row in records(comparison.rows)}
    for name in _shown(comparison.rows):
        row = cells[name, targets[0]]
        kind = letters.get(row["accuracy_kind"], "-")
        top1 = "-" if kind == "-" else f"{100 * row['top1']:.1f} ± {100 * row['standard_error']:.1f}"
        times = [_cell(cells[name, target], errors.get(target)) for target in targets]
        fronts = f"{counted[name]['targets_on_front']} of {counted[name]['targets']}" if name in counted else "-"
        table.add_row(name, top1, kind, *times, fronts, short_number(row["macs"]), short_number(row["params"]))
    lines = _setups(comparison, targets)
    if any(UNMEASURED in str(cell) for row in table.rows for cell in row):
        lines.append(f"{UNMEASURED}: no measured network has kernels of all the kinds of this one")
    if last:
        lines += [f"{letter} = {display_text(kind)}" for kind, letter in letters.items()]
    table.caption = "\n".join(lines)
    return table


def _known(error: LatencyError | None) -> str:
    """Return the error of the latencies of a target as a second line of its column's head."""
    if error is None:
        return ""
    if error.percent is not None:
        return f"\n{error.text}"
    return "\nlower bound" if error.basis == COMPUTED else "\nunmeasured"


def _setups(comparison: Comparison, targets: tuple[str, ...]) -> list[str]:
    """Return a line per target: runtime, threads and dtype, and what its error rests on."""
    known = zip(comparison.targets, comparison.setups, comparison.errors, strict=False)
    return [f"{target}: {setup}; {error.explained}" for target, setup, error in known if target in targets]


def _batch(comparison: Comparison, target: str) -> str:
    """Return the images in a latency on `target` as text, "" for one image."""
    models = dict(zip(comparison.targets, comparison.models, strict=False))
    images = getattr(models.get(target), "batch", 1)
    if not models:  # a comparison that was read from its file
        with suppress(InvalidInput, LookupError):
            images = load_target(target).batch
    return f", batch of {images}" if images > 1 else ""


def _shown(rows: pd.DataFrame) -> list[str]:
    """Return the names to show: chosen networks and those on some front; references rebuilt for others come last."""
    on_some = set(rows[rows["on_front"]]["name"])
    first = rows[(rows["target"] == rows["target"].iloc[0]) & (rows["chosen"] | rows["name"].isin(on_some))]
    order = first.assign(rebuilt=(first["source"] == "reference") & (first["accuracy_kind"] == ""))
    return [str(name) for name in order.sort_values(["rebuilt", "latency_ms"], kind="stable")["name"]]


def _cell(row: dict[str, Any], error: LatencyError | None) -> str:
    """Return a latency, a mark where it is on the front, and its error where that is not the target's own."""
    percent, known = row.get("latency_error_percent", math.nan), ""
    if error is not None and error.percent is not None and percent != error.percent:
        known = f"± {percent_text(percent)} %" if percent == percent else UNMEASURED
    energy = f", {row['energy_mj']:.3g}" if "energy_mj" in row else ""
    return f"{row['latency_ms']:.3f}{'*' if row['on_front'] else ' '}{known}{energy}"


def _regret(comparison: Comparison, kind: str) -> list[FittedTable]:
    """Return the matrix of regret: what was found for the row's target, used on the column's."""
    rows = comparison.regrets[comparison.regrets["accuracy_kind"] == kind]
    runs = list(dict.fromkeys(zip(rows["best_item"], rows["used_on"], strict=True)))
    extra = {(row["item"], row["best_item"]): row["extra"] for row in records(rows)}
    found = []
    for chunk in (runs[i : i + COLUMNS] for i in range(0, len(runs), COLUMNS)):
        table = FittedTable(
            "extra latency on the column's target of what was found for the row's",
            [Column("found for", fold=True), *(Column(f"{target}\n{item}", True, fold=True) for item, target in chunk)],
        )
        for item, target in dict.fromkeys(zip(rows["item"], rows["found_for"], strict=True)):
            table.add_row(f"{target}\n{item}", *(percent(extra[item, best]) for best, _ in chunk))
        found.append(table)
    found[
        -1
    ].caption = f"at equal or better accuracy ({display_text(kind)}); blank where nothing found for the row reaches it"
    return found


def percent(extra: float) -> str:
    """Return a fraction as signed percent, nothing for NaN."""
    return "" if extra != extra else "0 %" if round(extra, 4) == 0 else f"{100 * extra:+.1f} %"


def _hypervolumes(comparison: Comparison, items: list[str]) -> FittedTable:
    """Return the share of each item in the hypervolume that all networks of its kind reach together."""
    volumes = comparison.hypervolumes
    table = FittedTable(
        "hypervolume as % of that of all networks of the kind",
        [Column("target"), *(Column(item, True, fold=True) for item in items)],
    )
    together = volumes[volumes["item"] == "all"].set_index(["target", "accuracy_kind"])["hypervolume"].to_dict()
    own = {(row["item"], row["target"]): row for row in records(volumes[volumes["item"].isin(items)])}
    for target in comparison.targets:
        rows = [own[item, target] for item in items]
        shares = [row["hypervolume"] / together[target, row["accuracy_kind"]] for row in rows]
        table.add_row(target, *(f"{100 * share:.1f}" for share in shares))
    return table
